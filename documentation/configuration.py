"""The reference of the settings: every key of params.yaml, configs/ and stacks/, from their models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

from pydantic import BaseModel

from accidents.params import Params
from commands.loop_settings import LoopSettings
from commands.watch import WatchSettings
from documentation.json_schema import Schema, bounds, default, kind, resolved, sections
from documentation.tables import code, table
from documentation.yaml_comments import comments
from pipelines.config import PipelineConfig
from serving.api.settings import PREFIX, ApiSettings
from stacks.components import FLAVORS
from stacks.definition import StackDefinition

ROOT = Path(__file__).resolve().parent.parent
# By what a key is called; what is not found here has no unit.
_UNITS = {
    r"_seconds$|_timeout$|_pause$|^keep_alive$|^routes_every$|^latency$|^delay$|_window$|^grace$": "seconds",
    r"minutes$": "minutes",
    r"hours$": "hours",
    r"days$": "days",
    r"megabytes$": "megabytes",
    r"_limit$": "bytes",
    r"_per_minute$": "a minute",
    r"_share$|^drift_share$|^error_rate$|^difference$|^missing$|^gap$|^budget$|^per_caller$|^significance$|_gap$|"
    r"^masked$|^roc_auc$|^pr_auc$|^brier$|^recall_at_budget$": "share, 0 to 1",
    r"^canary$": "percent",
}
_HEAD = ("key", "type", "default", "unit", "must be", "meaning")
_TOP = """# Configuration

Every key there is, made from the models that read the files when this site was built. An unknown key is
refused, and the nearest valid one named. *What* is computed is in `params.yaml`, *how* and where it runs in
`configs/`, *with what* in `stacks/`.

"""


@dataclass(frozen=True)
class Source:
    """A file, or several alike, and the model that reads it; `comments`: the file that tells its keys."""

    title: str
    model: type[BaseModel]
    comments: str = ""
    about: str = ""


def sources() -> Iterator[Source]:
    """Give every kind of settings file, then the settings of our own flavors of stack components."""
    yield Source("params.yaml", Params, "params.yaml", "WHAT an experiment is.")
    yield Source(
        "configs/PIPELINE.yaml",
        PipelineConfig,
        "configs/train.yaml",
        "HOW a pipeline runs: `train`, `deploy`, `inference`, `monitor`, `verify`, `recalibrate`, `replay`. "
        "`configs/PIPELINE.STACK.yaml` is laid over it where there is one.",
    )
    environment = f"Each key may also come from the environment, which wins: `{PREFIX}PORT=8001`."
    yield Source("configs/api.yaml", ApiSettings, "configs/api.yaml", f"The API. {environment}")
    yield Source("configs/loop.yaml", LoopSettings, "configs/loop.yaml", "The loop around the monitor.")
    yield Source("configs/watch.yaml", WatchSettings, "configs/watch.yaml", "`make watch`.")
    yield Source("stacks/NAME.yaml", StackDefinition, "", "WITH WHAT: the components of a stack.")
    for flavor in FLAVORS:
        module, _, name = flavor.source.rpartition(".")
        model = getattr(import_module(module), name)().config_class
        about = f"`config` of a component `{flavor.type}` with `flavor: {flavor.name}`."
        yield Source(f"{flavor.type}: {flavor.name}", model, "", about)


def configuration_page() -> str:
    """Return all keys, a section for every model."""
    return _TOP + "\n".join(_source(source) for source in sources())


def keys_of(source: Source) -> set[str]:
    """Return the dotted path of every key that this file may hold."""
    whole = source.model.model_json_schema()
    return {_under(path, key) for path, model in sections(whole, whole) for key in model["properties"]}


def _source(source: Source) -> str:
    whole = source.model.model_json_schema()
    meanings = comments((ROOT / source.comments).read_text(encoding="utf-8")) if source.comments else {}
    parts = [f"## {source.title}\n", source.about + "\n"]
    for path, model in sections(whole, whole):
        if path:
            parts += [f"### {source.title}: {path} {{#{_anchor(source, path)}}}\n"]
            parts += [_about(model, meanings.get(path, ""))]
        parts.append(table(_HEAD, _rows(source, path, model, meanings)))
    return "\n".join(part for part in parts if part)


def _about(model: Schema, comment: str) -> str:
    """Return the comment in the file, and what the model's docstring says."""
    paragraphs = [comment[:1].upper() + comment[1:], _plain(str(model.get("description", "")))]
    return "".join(f"{paragraph.rstrip('.')}.\n\n" for paragraph in paragraphs if paragraph)


def _plain(docstring: str) -> str:
    """Return a docstring up to its list of attributes, as one paragraph: its lines may be indented."""
    return " ".join(re.split(r"\n\s*(?:Attributes|Args|Raises)\b", docstring)[0].split()).replace("{", "\\{")


def _attributes(docstring: str) -> dict[str, str]:
    """Return what a docstring in numpy's style says of each attribute; with the names of several at once."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in cleandoc(docstring).partition("\nAttributes\n----------\n")[2].splitlines():
        if match := re.match(r"(\w+(?:, \w+)*) : (.*)", line):
            names = match[1].split(", ")
            meanings |= dict.fromkeys(names, match[2] if len(names) == 1 else f"{match[1]}: {match[2]}")
        elif line.startswith(" "):
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
        else:
            break
    return meanings


def _rows(source: Source, path: str, model: Schema, meanings: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    whole = source.model.model_json_schema()
    described = _attributes(str(model.get("description", "")))
    for key, field in model["properties"].items():
        is_section = "properties" in resolved(field, whole)
        meaning = meanings.get(_under(path, key)) or str(field.get("description") or described.get(key, ""))
        yield (
            code(_under(path, key)),
            f"[section](#{_anchor(source, _under(path, key))})" if is_section else kind(field, whole),
            "" if is_section else code(default(field)) or "must be given",
            "" if is_section else _unit(key, field),
            bounds(field, whole),
            _plain(meaning),
        )


def _unit(key: str, field: Schema) -> str:
    if field.get("type") in {"string", "boolean"}:
        return ""
    return next((unit for pattern, unit in _UNITS.items() if re.search(pattern, key)), "")


def _anchor(source: Source, path: str) -> str:
    return re.sub(r"[^\w-]+", "-", f"{source.title}-{path}").strip("-").lower()


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
