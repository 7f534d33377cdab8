"""LightGBM's trees without LightGBM: its text format read, scored and explained, as fast as compiled code."""
