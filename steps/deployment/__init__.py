"""Steps that put a version to work."""
