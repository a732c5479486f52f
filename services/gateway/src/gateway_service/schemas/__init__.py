"""What travels over HTTP, with examples."""
