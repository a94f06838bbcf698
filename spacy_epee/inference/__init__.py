"""From Docs to answers: what a component runs, and benchmarks and the evaluation too."""
