"""One file a revision, named after it. A released one is never changed: databases have been through it."""
