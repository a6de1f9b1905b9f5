"""Inside the models: the tensors between image and result, and what a difference there means."""
