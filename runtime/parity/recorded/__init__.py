"""Parity on a machine without PyTorch: what the reference says is recorded, and checked there."""
