"""Training of the 2D systems: one recipe format, one trainer, the adversarial and the multi-task ones included."""
