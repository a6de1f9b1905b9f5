"""Readers of other projects' checkpoints: torchvision, Detectron2, MMDetection."""
