"""Steps that look at a champion."""
