"""Steps that get data and make it ready."""
