"""How two sets of instances differ."""
