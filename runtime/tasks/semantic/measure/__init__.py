"""How good class maps are: figures of one confusion matrix over all images, and their page."""
