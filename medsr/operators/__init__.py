"""Linear operators: the pieces of a measurement."""
