"""Scans that were never made: what a scanner would have measured of an image."""
