"""Mask R-CNN by Matterport's rules: network, inference graph, Keras weights."""
