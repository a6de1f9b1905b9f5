"""Fully convolutional networks for semantic segmentation (arXiv:1411.4038), and torchvision's later ones."""
