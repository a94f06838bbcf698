"""When to stop climbing: what an exit knows, and the rules that look at it."""
