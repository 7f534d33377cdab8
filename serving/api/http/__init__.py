"""HTTP: the gate, limits, errors, and the documents."""
