"""Called by Alembic with a connection of ../schema_migration.py, whose transaction it is."""

from __future__ import annotations

from alembic import context

from accidents.predictions.database_tables import TABLES
from accidents.predictions.schema_migration import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
)
context.run_migrations()
