"""What `run.py` does for each of its options, one file a command; heavy imports wait until they are needed."""
