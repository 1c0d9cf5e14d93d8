"""The edge: the only package, with `demo`, that speaks to sockets; everything else is told."""
