"""Choosing an exit rule."""
