"""Secret settings of components: in ZenML's secret store, and never in a component itself.

ZenML shows a component's settings in its dashboard and exports them in clear, but not what is in a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from stacks.errors import StackError
from stacks.placeholders import has_variable, in_clear

if TYPE_CHECKING:
    from pydantic import BaseModel
    from zenml.client import Client

_PASSWORD_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^/@\s]*:[^/@\s]+@|\S*[?&]password=[^&\s])", re.I)
# Not every key: a toleration in Kubernetes has a `key`, and an affinity a `topology_key`.
_SAYS_SECRET = re.compile(
    r"(secret|token|password|passwd|pwd|passphrase|authorization|credentials?|connection[_-]?string"
    r"|(access|account|api|private|secret|shared)[_-]?key([_-]?id)?)$",
    re.I,
)


def secret_name(kind: str, component: str) -> str:
    """Return the name of the secret that holds a component's secret settings."""
    return f"{kind}_{component}"


def has_password(address: str) -> bool:
    """Whether an address, as written in a stack file, holds a password that no variable stands for."""
    return bool(_PASSWORD_IN_ADDRESS.search(in_clear(address)))


def refuse_in_clear(
    settings: type[BaseModel], written: Mapping[str, Any], filled: Mapping[str, Any], where: str
) -> None:
    """Raise StackError for a secret that stands in the file, or would be kept where ZenML shows it."""
    for key in secret_settings(settings, written):
        if not (has_variable(written[key]) or is_reference(written[key])):
            raise StackError(
                f"{where}: {key!r} is a secret, and stands in the file. Have it from the environment, "
                f"{key}: ${{NAME}}, or from a secret of ZenML's, {key}: '{{{{secret.key}}}}'."
            )
    secret = set(secret_settings(settings, written))
    for path, text in _texts({key: value for key, value in filled.items() if key not in secret}):
        if _PASSWORD_IN_ADDRESS.match(text):
            raise StackError(
                f"{where}: the address in {path!r} holds a password, which ZenML would show. Give it by the "
                "settings that the flavor has for a login."
            )
        # ZenML takes apart the flavor's own settings alone: what is within one, it keeps as it is.
        if "." in path and text and _SAYS_SECRET.search(path):
            why = "fills in no reference there" if is_reference(text) else "would show it"
            own = ", ".join(secret_settings(settings, settings.model_fields))
            remedy = (
                f"Give it by a setting of its own: {own}." if own else "Take it out: no setting here is one."
            )
            raise StackError(f"{where}: {path!r} is a secret by its name, and ZenML {why}. {remedy}")


def set_apart(
    settings: type[BaseModel], written: Mapping[str, Any], filled: Mapping[str, Any], name: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings with references in place of secrets, and the secrets that they refer to.

    Parameters
    ----------
    written : the settings as in the file.
    name : of the secret of ZenML's that is to hold them.
    """
    secret = secret_settings(settings, written)
    values = {key: str(filled[key]) for key in secret if has_variable(written[key])}
    return {**filled, **{key: f"{{{{{name}.{key}}}}}" for key in values}}, values


def keep(client: Client, name: str, values: Mapping[str, str]) -> list[str]:
    """Have a secret of ZenML's hold exactly these values; what that changed, without them.

    Raises
    ------
    StackError
        The server keeps no secrets.
    """
    try:
        known = _find(client, name)
        if (known or {}) == values:
            return []
        if known is None:
            client.create_secret(name, dict(values))
        elif values:
            gone = [key for key in known if key not in values]
            client.update_secret(name, add_or_update_values=dict(values), remove_values=gone)
        else:
            client.delete_secret(name)
    except NotImplementedError as error:
        raise StackError(
            "ZenML's server keeps no secrets (its ZENML_SECRETS_STORE_TYPE), and the stack needs one: "
            f"{', '.join(values)}."
        ) from error
    close_to_others(client)
    return [f"{'created' if known is None else 'updated'} secret {name}: {', '.join(values) or 'none left'}"]


def has_secrets(settings: type[BaseModel]) -> bool:
    """Whether there are secrets among these settings."""
    return bool(secret_settings(settings, settings.model_fields))


def forget(client: Client, name: str) -> list[str]:
    """Remove a component's secret, if it has one; what that changed."""
    with suppress(KeyError, NotImplementedError):
        client.delete_secret(name)
        return [f"removed secret {name}"]
    return []


def secret_settings(settings: type[BaseModel], keys: Iterable[str]) -> list[str]:
    """Those of the keys that are secrets."""
    from zenml.utils.secret_utils import is_secret_field

    fields = settings.model_fields
    return [
        key
        for key in keys
        if key in fields and (is_secret_field(fields[key]) or _holds_secret(fields[key].annotation))
    ]


def looked_up(client: Client, value: Any, where: str) -> Any:
    """Return what a reference `{{secret.key}}` refers to; anything else as it is.

    Raises
    ------
    StackError
        ZenML has no such secret.
    """
    if not is_reference(value):
        return value
    from zenml.utils.secret_utils import parse_secret_reference

    reference = parse_secret_reference(value)
    known = _find(client, reference.name) or {}
    if reference.key not in known:
        raise StackError(
            f"{where}: ZenML has no secret {reference.name!r} with a key {reference.key!r}. Create it: "
            f"zenml secret create {reference.name} --{reference.key}=..."
        )
    return known[reference.key]


def _holds_secret(annotation: Any) -> bool:
    """Whether a setting of this type is a secret in the words of service connectors."""
    from pydantic import SecretStr

    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def is_reference(value: Any) -> bool:
    """Whether it stands for a secret of ZenML's: `{{secret.key}}`."""
    from zenml.utils.secret_utils import is_secret_reference

    return is_secret_reference(value)


def _find(client: Client, name: str) -> dict[str, str] | None:
    try:
        secret = client.get_secret(name, allow_partial_name_match=False, allow_partial_id_match=False)
    except KeyError:
        return None
    return dict(secret.secret_values)


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of nested settings, with where it is; items of a list are where the list is."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str) and "value" in value:  # as Kubernetes writes variables
            value = {**value, value["name"]: value["value"]}
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, path)
    elif isinstance(value, str):
        yield path, value


def close_to_others(client: Client) -> None:
    """ZenML's database on this machine holds secrets now: for its owner alone."""
    file = Path(str(client.zen_store.url).removeprefix("sqlite:///"))
    if file.is_file():
        file.chmod(0o600)
