"""The task of giving every pixel a class."""
