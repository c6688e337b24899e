"""Data-consistency layers: what keeps an estimate faithful to the measurement."""
