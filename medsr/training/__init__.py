"""Training: recipes as data, one trainer for all networks."""
