"""What parity knows of R-CNN: made inputs, marks of its faults, how images exercised its levels."""
