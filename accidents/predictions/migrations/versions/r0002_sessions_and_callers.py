"""Sessions of predictions, and whose accident a label is of.

A label of a whole accident was for all callers' predictions; the first caller keeps it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and fill them from what is there."""
    op.add_column("predictions", sa.Column("session", sa.Text))
    given = sa.text("session IS NOT NULL")
    op.create_index(
        "predictions_session", "predictions", ["session"], sqlite_where=given, postgresql_where=given
    )
    for column in (
        sa.Column("caller", sa.Text),
        sa.Column("trusted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("changes", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("newest", sa.Boolean, nullable=False, server_default=sa.true()),
    ):
        op.add_column("labels", column)
    op.execute(
        "UPDATE labels SET caller = (SELECT key_name FROM predictions "
        "WHERE predictions.request_id = labels.request_id) WHERE request_id IS NOT NULL"
    )
    op.execute(
        "UPDATE labels SET caller = (SELECT key_name FROM predictions "
        "WHERE predictions.accident_id = labels.accident_id ORDER BY created, request_id LIMIT 1) "
        "WHERE request_id IS NULL"
    )
    op.execute(
        "UPDATE labels SET newest = false WHERE id NOT IN (SELECT max(id) FROM labels "
        "GROUP BY request_id, CASE WHEN request_id IS NULL THEN accident_id END)"
    )
    op.drop_index("labels_request", "labels")
    op.drop_index("labels_accident", "labels")
    op.create_index("labels_newest_request", "labels", ["request_id", "newest"])
    op.create_index("labels_newest_accident", "labels", ["accident_id", "newest"])
