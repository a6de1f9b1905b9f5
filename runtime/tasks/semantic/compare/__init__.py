"""Two models' class maps of the same images: how they are compared, judged and shown."""
