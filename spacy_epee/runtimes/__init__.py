"""What layers run in beside plain torch."""
