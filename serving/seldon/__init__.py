"""The bundle behind Seldon Core's own Python server, over Seldon's v1 protocol."""
