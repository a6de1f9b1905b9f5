"""Parts of a model on made inputs: what no image exercised, and what a fault is, measured."""
