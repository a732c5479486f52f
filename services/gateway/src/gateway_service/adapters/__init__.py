"""The services behind the gateway and the pictures it fetches; one module each."""
