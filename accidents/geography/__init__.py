"""Where things are: boxes of France and its departments, and how places are written."""
