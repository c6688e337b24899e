"""How a scan was made: a named chain of operators and its noise, from a header."""
