"""What ZenML's `bentoml` flavor needs beside it: Bentos built whole, proved, and their processes ended."""
