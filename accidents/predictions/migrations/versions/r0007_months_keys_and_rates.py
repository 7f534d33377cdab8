"""What many APIs share: keys and rates; and in PostgreSQL predictions and shadows' scores by month.

What is there is not copied: its table becomes the first partition, for which one index is made.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEYS = {"predictions": "request_id, created", "shadow_scores": "request_id, model_digest, created"}
_INDEXES = {
    "predictions": {
        "predictions_created": "(created, request_id)",
        "predictions_accident": "(accident_id) WHERE accident_id IS NOT NULL",
        "predictions_session": "(session) WHERE session IS NOT NULL",
    },
    "shadow_scores": {},
}


def upgrade() -> None:
    """Make the tables; in PostgreSQL take apart the two that grow."""
    op.create_table(
        "api_keys",
        sa.Column("hook", sa.Boolean, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("revoked", sa.DateTime(timezone=True)),
    )
    postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "rate_counts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        prefixes=["UNLOGGED"] if postgres else [],
    )
    if postgres:
        for table in _KEYS:
            _by_month(table)


def _by_month(table: str) -> None:
    before, end = f"{table}_before", _next_month()
    constraint = sa.inspect(op.get_bind()).get_pk_constraint(table)["name"]
    op.execute(f"ALTER TABLE {table} RENAME TO {before}")
    op.execute(f'ALTER TABLE {before} DROP CONSTRAINT "{constraint}"')
    for index in _INDEXES[table]:
        op.execute(f"ALTER INDEX {index} RENAME TO {before}_{index.removeprefix(f'{table}_')}")
    op.execute(f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE (created)")
    op.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({_KEYS[table]})")
    for index, of in _INDEXES[table].items():
        op.execute(f"CREATE INDEX {index} ON {table} {of}")
    op.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    # What a clock dated later that was ahead
    ahead = f"DELETE FROM {before} WHERE created >= '{end}' RETURNING *"
    op.execute(f"WITH ahead AS ({ahead}) INSERT INTO {table}_rest SELECT * FROM ahead")
    if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT 1 FROM {before})")):
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{end}')")
    else:
        op.execute(f"DROP TABLE {before}")


def _next_month() -> str:
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    years, month = divmod(now.month, 12)
    return first.replace(year=now.year + years, month=month + 1).isoformat()
