"""The PyTorch reference of R-CNNs: torchvision's own model, its taps by hooks, its parts."""
