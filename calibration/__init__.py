"""Quantises exported models to INT8: ranges, placement of Q/DQ pairs, and the accuracy that they cost."""
