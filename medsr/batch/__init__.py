"""Many scans in one run: found, reconstructed one after the other, passed over where they are done, and tabled."""
