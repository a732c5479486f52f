"""The REST door: uploads, captions, catalogues, search."""
