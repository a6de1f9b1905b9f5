"""The deployed half of maskrt: runs a model file and says what it found. Never imports torch."""
