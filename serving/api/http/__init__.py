"""HTTP: the gate, limits, and the documents."""
