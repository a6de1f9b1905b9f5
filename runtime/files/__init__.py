"""How files are written: atomically, and never over what a user would miss."""
