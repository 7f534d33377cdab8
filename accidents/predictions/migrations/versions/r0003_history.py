"""The monitoring history in the same versions as the log.

It had a version of its own, and its tables were made by whoever wrote first: they may be there, or not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make what is missing; drop the two tables that held the versions before Alembic did."""
    tables = set(sa.inspect(op.get_bind()).get_table_names())
    moment = sa.DateTime(timezone=True)
    if "monitor_runs" not in tables:
        op.create_table(
            "monitor_runs",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("created", moment, nullable=False),
            sa.Column("loop_id", sa.Text, nullable=False),
            sa.Column("stage", sa.Text, nullable=False),
            sa.Column("model_version", sa.Text, nullable=False),
            sa.Column("model_digest", sa.Text, nullable=False),
            sa.Column("source", sa.Text, nullable=False),
            sa.Column("rows", sa.Integer, nullable=False),
            sa.Column("labelled", sa.Integer, nullable=False),
            sa.Column("action", sa.Text, nullable=False),
            sa.Column("judged", sa.Integer, nullable=False),
            sa.Column("reasons", sa.Text, nullable=False),
            sa.Column("report", sa.Text, nullable=False),
        )
    if "loop_events" not in tables:
        op.create_table(
            "loop_events",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("loop_id", sa.Text, nullable=False),
            sa.Column("created", moment, nullable=False),
            sa.Column("model", sa.Text, nullable=False),
            sa.Column("stage", sa.Text, nullable=False),
            sa.Column("outcome", sa.Text, nullable=False),
            sa.Column("model_version", sa.Text),
            sa.Column("detail", sa.Text, nullable=False),
        )
    for former in {"prediction_log_version", "monitor_history_version"} & tables:
        op.drop_table(former)
