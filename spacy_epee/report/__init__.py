"""One page about the exits of a pipeline."""
