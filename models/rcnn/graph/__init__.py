"""Inference graphs: a network's parts re-expressed with static shapes, for the exporter."""
