"""One light classifier per exit, for each kind of task."""
