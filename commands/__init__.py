"""What `run.py` does, one file a command (what may be typed: arguments/); heavy imports wait."""
