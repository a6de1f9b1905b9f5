"""Training, from annotated images to a checkpoint: data sets, run, and training loop."""
