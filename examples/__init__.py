"""Examples to copy from: small, whole, and run by a test."""
