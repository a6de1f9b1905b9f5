"""Mask, Faster and Keypoint R-CNN. Imports nothing: parity reads `parity/` on machines without torch."""
