"""Reading bills: pages, text, table, header fields and the arithmetic that holds them together."""
