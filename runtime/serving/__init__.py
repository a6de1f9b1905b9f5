"""Model repositories for NVIDIA's Triton server."""
