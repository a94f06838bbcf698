"""Why units leave that no rule has found settled. Rules have names of their own for others."""

DEPTH, JOINT = "depth", "joint"
"""The reasons of a unit that reached the last layer, and of one that left with those of another task."""

FIXED_DEPTH, DEADLINE = "fixed_depth", "deadline"
"""Those of a unit that is to go no higher, and of one whose time was spent."""

UNSETTLED = frozenset({DEPTH, JOINT, FIXED_DEPTH, DEADLINE})
"""The reasons of all whose answers may be in doubt."""
