"""Readers of annotation formats; each gives a Dataset."""
