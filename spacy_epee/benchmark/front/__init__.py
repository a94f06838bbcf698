"""A pipeline's exits against everything simpler: score against seconds a document."""
