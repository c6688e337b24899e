"""Training of the learned methods of spiral fMRI on simulated runs."""
