"""Events: triggers, arguments, attributes, nested events."""
