"""Annotated data."""
