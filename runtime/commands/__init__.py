"""Makes programs of commands: options, checked outputs, errors as sentences, progress."""
