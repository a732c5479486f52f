"""Everything outside of the service: the provider that writes, and the database that keeps."""
