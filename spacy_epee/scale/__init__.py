"""More notes than one process reads."""
