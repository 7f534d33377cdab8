"""What `run.py` does, one file a command (what may be typed: cli/); heavy imports wait for their need."""
