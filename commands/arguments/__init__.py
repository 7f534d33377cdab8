"""What may be typed behind `run.py`: one file a command, which declares its options and calls commands/.

`--help` and shell completion load all of these, so nothing heavy is imported at their top.
"""
