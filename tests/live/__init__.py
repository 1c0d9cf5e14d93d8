"""mailspy alive, as a process between sockets: loads, faults, limits, endings."""
