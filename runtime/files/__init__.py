"""Writes files atomically, and never over a file that a user would miss."""
