"""Original implementations of foreign checkpoints, behind one interface; maskrt itself needs none."""
