"""What calibration measures: images, ranges, scales."""
