"""Pipeline of overlapping steps: decode, preprocess, infer, postprocess, draw."""
