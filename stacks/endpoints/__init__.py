"""Served models, whatever serves them: one protocol, and an adapter a model deployer."""
