"""The implementations that foreign checkpoints come from, behind one face; maskrt itself needs none."""
