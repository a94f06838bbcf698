"""A pipeline against itself in other libraries."""
