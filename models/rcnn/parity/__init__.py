"""What parity knows of R-CNN: made inputs for its parts, marks of its faults, where its proposals come from."""
