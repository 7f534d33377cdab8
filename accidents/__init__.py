"""The accident domain: reading, features, model, honest evaluation. Plain Python, no ZenML, no HTTP."""
