"""What a model finds, a folder a task."""
