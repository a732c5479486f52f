"""The outside systems: the embedding service and the vector store."""
