"""Alembic's migrations of the prediction log's tables: one file in versions/ a revision."""
