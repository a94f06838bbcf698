"""Losses, stages, readers and the training table."""
