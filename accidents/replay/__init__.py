"""A study over past years: what would have been decided, as if they were only now arriving."""
