"""Whether a pipeline still meets the notes that it was tuned on."""
