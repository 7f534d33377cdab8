"""The role of the version that answered, and what a shadow gave for the same accidents."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add roles and shadows: what was answered so far, the champion answered."""
    op.add_column("predictions", sa.Column("role", sa.Text, nullable=False, server_default="champion"))
    op.create_table(
        "shadow_scores",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("model_digest", sa.Text, primary_key=True),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("band", sa.Text, nullable=False),
        sa.Column("alert", sa.Boolean, nullable=False),
    )
