"""Trying exit rules, and comparing them with the full depth."""
