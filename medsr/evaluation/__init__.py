"""Figures of merit and tables."""
