"""ZenML's store of this machine, read as the SQLite file that it is: to import and open ZenML takes seconds.

Only for a question that is asked often and changes nothing. What is not sure to be understood here (a store
elsewhere, a file of another ZenML, one that is damaged or in the middle of a repair) is left to ZenML.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stacks.environment import store_url

_WAIT_SECONDS = 2.0  # for one who is writing
_SERVING = "SELECT DISTINCT flavor FROM service WHERE lower(admin_state) = 'active'"
_PRODUCTION = """
    SELECT model.name, model_version.number
    FROM model_version JOIN model ON model.id = model_version.model_id
    WHERE model_version.stage = 'production'
"""
_SECRET = "SELECT 1 FROM secret WHERE name = ? LIMIT 1"
_METADATA = "SELECT value, created FROM run_metadata WHERE key = ? ORDER BY created DESC LIMIT 1"


def production_versions() -> dict[str, int] | None:
    """Return the number of the version in production of each model; None: only ZenML can tell."""
    rows = _asked(_PRODUCTION)
    return None if rows is None else dict(rows)


def serving_flavors() -> set[str] | None:
    """Flavors of the model deployers that should be serving something; None: only ZenML can tell."""
    rows = _asked(_SERVING)
    return None if rows is None else {flavor for (flavor,) in rows}


def has_secret(name: str) -> bool:
    """Whether ZenML keeps a secret of this name, as far as can be told here."""
    return bool(_asked(_SECRET, name))


def last_metadata(key: str) -> list[tuple[Any, datetime]] | None:
    """Return what was logged last under a key, and when (UTC), if anything was; None: only ZenML can tell."""
    rows = _asked(_METADATA, key)
    return None if rows is None else [(json.loads(value), _utc(created)) for value, created in rows]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _asked(question: str, *values: str) -> list[Any] | None:
    url = store_url()
    if not url.startswith("sqlite:///"):
        return None
    file = Path(url.removeprefix("sqlite:///"))
    if not file.is_file():
        return []  # nothing has run yet
    try:
        address = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS)) as store:
            return store.execute(question, values).fetchall() if _is_understood(store) else None
    except sqlite3.Error:
        return None


def _is_understood(store: sqlite3.Connection) -> bool:
    """Whether its tables are those of the ZenML installed here, with one project: names are unique then."""
    tables = store.execute("SELECT version_num FROM alembic_version").fetchall()
    (projects,) = store.execute("SELECT count(*) FROM project").fetchone()
    return tables == [(version("zenml"),)] and projects == 1
