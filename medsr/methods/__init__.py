"""Reconstruction methods, one a file, each with a card."""
