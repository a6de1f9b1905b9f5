"""Decode, preprocess, infer, postprocess and draw, one beside the other."""
