"""Tasks: what is asked about a Doc, and what is written to it. A folder each."""
