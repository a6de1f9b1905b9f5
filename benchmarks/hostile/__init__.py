"""Hostile inputs against every verb: each is to be refused in a sentence, or handled rightly."""
