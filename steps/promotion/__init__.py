"""Steps that register and promote a version."""
