"""Precision below float32: ranges, placement of Q/DQ, and what they cost."""
