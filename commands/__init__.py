"""What `run.py` does for each of its options, one file a command; heavy imports wait for their need."""
