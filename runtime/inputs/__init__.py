"""Inputs of a run: images, videos, cameras, archives, buckets."""
