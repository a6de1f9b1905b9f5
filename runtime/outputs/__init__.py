"""What a run writes: JSON lines, COCO results, pictures, videos."""
