"""Every model through every stage: what each cell of docs/models.md was measured by."""
