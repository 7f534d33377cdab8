"""Called by Alembic, with the connection of accidents/predictions/upgrade.py, whose transaction it is."""

from __future__ import annotations

from alembic import context

from accidents.predictions.database_tables import TABLES
from accidents.predictions.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
)
context.run_migrations()
