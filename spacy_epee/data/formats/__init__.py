"""From formats of annotated text to rows with character offsets."""
