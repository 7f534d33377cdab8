"""Watching a champion: what a window of accidents says of it, and what follows from that."""
