"""Training: losses, objectives, loops."""
