"""YOLACT (arXiv:1904.02689): instances as sums of prototypes that the whole picture shares."""
