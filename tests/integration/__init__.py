"""The proxy among real servers and real clients, each a process of its own."""
