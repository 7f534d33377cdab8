"""What runs next to a model. Imports `accidents.bundle` and `accidents.features` only."""
