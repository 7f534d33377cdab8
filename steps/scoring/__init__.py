"""Steps that score many accidents."""
