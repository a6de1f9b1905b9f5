"""Readers of the checkpoints that others publish of YOLACT."""
