"""Outside systems and their embedded stand-ins, each behind a Protocol of `adapters.base`."""
