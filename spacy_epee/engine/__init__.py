"""Climbing: the loop that decides who leaves, live or on stored logits."""
