"""What a model is run over: images, videos, cameras, archives, buckets."""
