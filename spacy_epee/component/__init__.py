"""The pipeline component."""
