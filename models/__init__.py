"""What the networks are: configuration, PyTorch module, inference graph, weights of other projects."""
