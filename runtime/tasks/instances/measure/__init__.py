"""COCO average precision, the confusion matrix, and the page of an evaluation."""
