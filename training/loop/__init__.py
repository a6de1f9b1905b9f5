"""The training loop: fit, loader, augmentation, saving and resuming."""
