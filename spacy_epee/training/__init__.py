"""How a model is trained: losses, stages, learning rates, and what spaCy's training calls."""
