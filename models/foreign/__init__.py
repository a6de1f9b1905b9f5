"""What the readers of other projects' files share: formats, renaming, the names of classes."""
