"""What crosses services, and stand-ins for outside providers."""
