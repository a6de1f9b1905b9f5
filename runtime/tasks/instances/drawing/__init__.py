"""Instances drawn on their picture."""
