"""Running a transformer one layer at a time."""
