"""A step of the loop is called so: `stage` means what is known of an accident, in every table."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Rename it, as SQLite and PostgreSQL both do; Alembic would copy a table of SQLite."""
    op.execute("ALTER TABLE loop_events RENAME COLUMN stage TO step")
