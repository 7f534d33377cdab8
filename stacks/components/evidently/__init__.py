"""The `evidently_modern` data validator."""
