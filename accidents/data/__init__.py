"""From a source of raw files to checked tables: sources, reading, quality, versions."""
