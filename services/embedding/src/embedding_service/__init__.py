"""Images and texts to vectors."""
