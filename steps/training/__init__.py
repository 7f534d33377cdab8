"""Steps that make a model."""
