"""From annotated images to a checkpoint: datasets, models, and the training loop."""
