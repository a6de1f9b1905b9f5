"""What parity knows of YOLACT, without PyTorch."""
