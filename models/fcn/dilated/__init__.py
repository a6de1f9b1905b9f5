"""torchvision's networks for class maps: a backbone that dilates where others stride, and a head."""
