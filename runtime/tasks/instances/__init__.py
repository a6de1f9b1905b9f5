"""Objects: their boxes, classes, masks and keypoints."""
