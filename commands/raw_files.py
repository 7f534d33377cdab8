"""Raw files, and what `--input` names, as steps get them: by the hash of a version, wherever they run."""

from __future__ import annotations

from accidents.data.sources.settings import DataSettings
from accidents.data.storage import is_remote
from accidents.errors import SettingsError
from accidents.params import Params


def raw_data(params: Params) -> tuple[Params, str]:
    """Have the raw data, before ZenML starts; return the parameters with its years, and its version."""
    from accidents.data.dataset import fetch_raw

    raw = fetch_raw(params.data)
    data = params.data.model_copy(update={"years": tuple(raw.years) or params.data.years})
    return params.model_copy(update={"data": data}), raw.version


def hand_over(raw_version: str, params: Params) -> None:
    """Where steps run elsewhere, put the raw files into DVC's remote for them; a sample they make anew.

    Raises SettingsError if they would not see partitions that the source holds: these are read in place.
    """
    from accidents.data.dataset import in_partitions
    from pipelines import runs

    if in_partitions(params.data):
        require_seen("--source", params.data.source)
        return
    made_there = params.data.source == "sample" and params.data.version is None
    if not made_there and runs.elsewhere():
        _push(raw_version)


def hand_over_input(given: str, data: DataSettings) -> str:
    """Version what `--input` names; where steps run elsewhere, put it into DVC's remote for them.

    Raises SettingsError if they would not see partitions that the source of a year holds.
    """
    from accidents.data.dataset import in_partitions
    from accidents.scoring.batch import version_of
    from accidents.scoring.batch.inputs import is_year
    from pipelines import runs

    if is_year(given) and in_partitions(data):
        require_seen("--source", data.source)
        return version_of(given, data, keep=False)

    elsewhere = runs.elsewhere()
    version = version_of(given, data, keep=elsewhere)
    if elsewhere:
        _push(version)
    return version


def require_seen(what: str, folder: str) -> None:
    """Raise SettingsError where steps run elsewhere, and a folder of partitions is on this machine alone."""
    from pipelines import runs

    if not is_remote(folder) and runs.elsewhere():
        raise SettingsError(
            f"{what} {folder}: the steps of this stack run elsewhere and do not see this machine's folders. "
            "Name one of a store that they reach, such as s3://bucket/folder."
        )


def _push(version: str) -> None:
    from accidents.data.data_versions import push
    from pipelines import runs

    push(version, runs.data_remote())
