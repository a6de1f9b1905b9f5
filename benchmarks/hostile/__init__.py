"""Hostile inputs against every verb: each must be refused with a sentence, or handled correctly."""
