"""Predictions and their labels, as the first prediction log had them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "predictions",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("accident_id", sa.Text),
        sa.Column("created", moment, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("model_digest", sa.Text, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("band", sa.Text, nullable=False),
        sa.Column("alert", sa.Boolean, nullable=False),
        sa.Column("accident", sa.Text, nullable=False),
        sa.Column("features", sa.Text, nullable=False),
        sa.Column("key_name", sa.Text),
    )
    op.create_index("predictions_created", "predictions", ["created", "request_id"])
    known = sa.text("accident_id IS NOT NULL")
    op.create_index(
        "predictions_accident", "predictions", ["accident_id"], sqlite_where=known, postgresql_where=known
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.Text),
        sa.Column("accident_id", sa.Text),
        sa.Column("severe", sa.Boolean, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("key_name", sa.Text),
    )
    op.create_index("labels_request", "labels", ["request_id"])
    op.create_index("labels_accident", "labels", ["accident_id"])
