"""The scorers' main figures of simulated answers, by counting what was worked out once."""
