"""Steps that judge a model."""
