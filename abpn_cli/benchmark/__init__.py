"""How fast, how much memory, how exact: against the plain network, and against the machine."""
