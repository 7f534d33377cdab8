"""What people and files write for a code, a time or a commune, read in one way for the API and for files."""
