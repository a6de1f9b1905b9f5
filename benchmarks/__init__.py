"""Benchmarks: one command each, results compared within one run."""
