"""From Docs and images to what a trunk reads."""
