"""A registry of images, as far as a release needs it: the digest of a tag, and that under another tag.

Asked over its HTTP API, without an engine: what is promoted is neither pulled nor packed again.
REGISTRY_USER and REGISTRY_PASSWORD are its login, where it wants one.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

KINDS = ", ".join((
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))  # fmt: skip
SECONDS = 60


class RegistryError(Exception):
    """What the registry did not do; the message says why, and what helps."""


class NotThereError(RegistryError):
    """The registry has nothing of that name."""


@dataclass(frozen=True)
class Manifest:
    """What a digest is of."""

    content: bytes
    kind: str

    @property
    def digest(self) -> str:
        """The content's own, whatever a registry says."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@dataclass(frozen=True)
class Repository:
    """One image's repository, such as ghcr.io/owner/road-accidents/api."""

    name: str
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """Everything before the first slash."""
        return self.name.partition("/")[0]

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest."""
        manifest = self._ask("GET", reference)
        if reference.startswith("sha256:") and manifest.digest != reference:
            raise RegistryError(
                f"{self.name}: the registry gives {manifest.digest} where {reference} was asked for."
            )
        return manifest

    def tag(self, manifest: Manifest, tag: str) -> None:
        """Put a tag on a manifest that the repository has."""
        self._ask("PUT", tag, manifest)
        if (now := self.manifest(tag).digest) != manifest.digest:
            raise RegistryError(
                f"{self.name}:{tag} is {now} and not {manifest.digest}: somebody else has put it there."
            )

    def _ask(
        self, method: str, reference: str, manifest: Manifest | None = None, again: bool = True
    ) -> Manifest:
        local = re.match(r"(localhost|127\.\d+\.\d+\.\d+)(:|$)", self.host)
        url = f"{'http' if local else 'https'}://{self.host}/v2/{self.name.partition('/')[2]}/manifests/{reference}"
        headers = {"Accept": KINDS, **({"Authorization": self.tokens["it"]} if self.tokens else {})}
        if manifest:
            headers["Content-Type"] = manifest.kind
        request = urllib.request.Request(url, manifest.content if manifest else None, headers, method=method)
        opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                return Manifest(answer.read(), answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            if error.code == 401 and again:
                self.tokens["it"] = _login(error.headers.get("WWW-Authenticate", ""))
                return self._ask(method, reference, manifest, again=False)
            kind = NotThereError if error.code == 404 else RegistryError
            raise kind(self._refused(method, reference, error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(f"The registry {self.host} does not answer: {error}") from error

    def _refused(self, method: str, reference: str, error: urllib.error.HTTPError) -> str:
        joined = "@" if reference.startswith("sha256:") else ":"
        name = f"{self.name}{joined}{reference}"
        if error.code == 404:
            return f"The registry has no {name}. Has the workflow `images` pushed that commit?"
        if error.code in (401, 403):
            return f"The registry refuses {method} of {name}: are REGISTRY_USER and REGISTRY_PASSWORD right?"
        content = error.read()[:200].decode(errors="replace")
        return f"The registry answers {error.code} to {method} of {name}: {content}"


def _login(challenge: str) -> str:
    """Return the header that a registry's challenge asks for."""
    user, password = os.environ.get("REGISTRY_USER", ""), os.environ.get("REGISTRY_PASSWORD", "")
    basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if not challenge.startswith("Bearer "):
        return basic
    wanted = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not wanted.get("realm", "").startswith("https://"):
        raise RegistryError(
            "The registry wants a login at an address that is not https, which gets no password."
        )
    asked = urllib.parse.urlencode({name: wanted[name] for name in ("service", "scope") if name in wanted})
    request = urllib.request.Request(
        f"{wanted['realm']}?{asked}", headers={"Authorization": basic} if user else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            content = json.load(answer)
            return f"Bearer {content.get('token') or content['access_token']}"
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise RegistryError(
            f"The registry's login is refused: {error}. Are REGISTRY_USER and REGISTRY_PASSWORD right?"
        ) from None
