"""A family of two convolutions: what a new family costs, and the proof that it costs no more than a folder."""
