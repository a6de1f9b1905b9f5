"""Which layers run in INT8: plan, search, accuracy gate."""
