"""What errors of S3, MLflow and other servers mean, and what to do: by the codes and words of their answers.

No library is imported for it: an error is known by what it carries; one of a step that ran elsewhere, which
is made anew of its text, by the traceback that it brings as a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from traceback import walk_tb
from typing import Any, NamedTuple

_AGAIN = "where the stack file takes it from, and apply the stack again"
_LOGIN = f"Correct the key and its secret {_AGAIN}"
_CLOCK = "The clocks of this machine and of S3's differ by more than it allows. Set this one's: timedatectl"
_NOTHING = "Nothing answers there. Start the server, or correct its address"
_GONE = "It ended the connection in the middle. Start it again where it has ended, and run the command again"
_NO_HOST = "There is no such host. Correct the address"
_FAILS = "The server fails at what it is asked. Look into its log, and run the command again when it is well"
_KEY = (
    "It does not take the key: it is wrong, revoked or expired. Set ZENML_STORE_API_KEY to one that is valid"
)
_S3 = {  # S3's error codes
    "NoSuchBucket": "There is no such bucket. Create it, or correct `path`",
    "InvalidBucketName": "That is no name of a bucket. Correct `path`",
    "InvalidAccessKeyId": f"S3 does not know the access key. {_LOGIN}",
    "SignatureDoesNotMatch": f"S3 refuses the signature. {_LOGIN}",
    "AccessDenied": "S3 denies it: this login may not, or the bucket is read-only. Grant it, or use another",
    "ExpiredToken": "The session token has expired. Get a new one, and apply the stack again",
    "InvalidToken": "S3 does not know the session token. Get a new one, and apply the stack again",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    # What it answers a HEAD request, which has no body to say why.
    "400": "S3 refuses it without a reason, as where the session token has expired",
    "403": "S3 denies it without a reason: this login may not, its key or token has ended, or a clock is off",
    "SlowDown": "S3 is asked too often. Try again later",
}
_AZURE = {  # Azure's error codes
    "ContainerNotFound": "There is no such container. Create it, or correct `path`",
    "InvalidResourceName": "That is no name of a container. Correct `path`",
    "AuthenticationFailed": f"Azure refuses the login. {_LOGIN}",
    "AuthorizationFailure": "Azure denies it: this login may not. Grant it Storage Blob Data Contributor",
    "AuthorizationPermissionMismatch": "Azure denies it. Grant this login Storage Blob Data Contributor",
    "ServerBusy": "Azure is asked too often. Try again later",
}
_CODES = _S3 | _AZURE
_HTTP = {  # what a server answers a request with
    401: f"The server refuses the login. Correct user and password {_AGAIN}",
    403: "The server denies it: this login may not do that. Grant it, or use another",
    404: "There is a server, and not the one that is expected. Correct its address",
}
_WORDS = {  # in what an error says, where it carries no code
    "Connection refused": _NOTHING,
    "Connect call failed": _NOTHING,
    "Cannot connect to host": _NOTHING,
    "The specified bucket does not exist": _S3["NoSuchBucket"],  # Google's, too
    "Access Key Id you provided does not exist": _S3["InvalidAccessKeyId"],  # S3's, without the code
    "request signature we calculated does not match": _S3["SignatureDoesNotMatch"],
    "The provided token has expired": _S3["ExpiredToken"],
    "Access Denied": _S3["AccessDenied"],
    "default credentials were not found": f"There is no login. {_LOGIN}",
    "Invalid Credentials": f"The server refuses the login. {_LOGIN}",
    "Could not connect to the endpoint": _NOTHING,
    "Connection aborted": _GONE,  # by an HTTP server, in the words of each client
    "Connection reset by peer": _GONE,
    "Connection was closed before": _GONE,
    "Server disconnected": _GONE,
    "Name or service not known": _NO_HOST,
    "Temporary failure in name resolution": _NO_HOST,
    "CERTIFICATE_VERIFY_FAILED": "Its certificate is not trusted here. Have this machine trust it",
    "error code 50": _FAILS,  # MLflow's words of 500 and above
    "too many 50": _FAILS,  # those of who has asked again and again
    "INTERNAL_ERROR: ": _FAILS,
    "timed out": "It does not answer in time. Is the address right, and a firewall in between?",
    "The difference between the request time": _CLOCK,
    "Authentication error": _KEY,  # ZenML's server's, of all that a key or its token lacks
    "credentials are no longer valid": _KEY,
    "Permission denied while trying to connect to the Docker daemon": (
        "This user may not ask the container engine. Add it to the group `docker`"
    ),
    "Error while fetching server API version": (
        "No container engine answers. Start it (`docker info` must answer), or set DOCKER_HOST"
    ),
}
# ZenML's words where a component's service connector gives it no login.
_CONNECTOR = re.compile(
    r"linked to the '[^']*' \w+ stack component could not be (?P<failed>accessed|correctly configured)[^:]*: "
    r"(?P<what>.*?)(?:\. Please verify|\Z)",
    re.DOTALL,
)
_UNREACHED = ("Failed to resolve", "Could not connect to the endpoint", "Connection refused", "timed out")
_NO_WAY = (
    "Its service connector does not reach the cloud from here. Run this where the cloud's API can be "
    "reached, or give this machine a way there"
)
_NO_LOGIN = (
    "The cloud refuses the login of its service connector. Correct what the stack file takes it from, and "
    "apply the stack again"
)
_NO_FIT = "Its service connector cannot be used for it. Correct its address, or the connector's settings"
_PARTS = {  # by whose code a part of the stack is asked
    "dvc_objects": "the DVC remote",  # which asks S3 as the artifact store does
    "botocore": "the artifact store",
    "s3fs": "the artifact store",
    "adlfs": "the artifact store",
    "azure": "the artifact store",
    "gcsfs": "the artifact store",
    "google.cloud": "the artifact store",
    "mlflow": "the MLflow server",
    "docker": "the container engine",
    "zenml.zen_stores.rest_zen_store": "ZenML's server",
}
# Code and status where an error does not carry them: adlfs keeps the words alone, a traceback has no more.
_CODE = re.compile(r"An error occurred \((\w+)\)|ErrorCode:(\w+)")
_STATUS = re.compile(r"failed with error code (\d{3})")  # MLflow's
# Of a traceback: what is between two errors; a frame with its lines of code; an error's first line.
_BETWEEN = re.compile(r"\n(?:The above exception was the direct|During handling of the above) .*\n")
_FRAME = re.compile(r'^  File "(.+?)", line .*\n(?:    .*\n)*', re.MULTILINE)
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:: |$)", re.MULTILINE)


class _Link(NamedTuple):
    """An error of a chain: what it says, its code and status, and the modules that it passed."""

    text: str
    code: str | None
    status: int | None
    passed: list[str]

    @property
    def first_line(self) -> str:
        return self.text.splitlines()[0].rstrip(".")


def diagnosis(error: BaseException) -> str | None:
    """Return what an error, or what caused it, means and what to do; None if it is not known."""
    if (connector := _of_connector(error)) is not None:
        return connector
    for link in _chain(error):
        known = _CODES.get(link.code or "") or _HTTP.get(link.status or 0)
        known = known or next((remedy for words, remedy in _WORDS.items() if words in link.text), None)
        if known:
            return f"{known} ({link.first_line})."
    return None


def _of_connector(error: BaseException) -> str | None:
    """Return what it means that a cloud gave a component no login; None if that is not what happened."""
    for link in _chain(error):
        if match := _CONNECTOR.search(link.text):
            what = " ".join(match["what"].split()).rstrip(".")
            refused = _NO_LOGIN if match["failed"] == "accessed" else _NO_FIT
            return f"{_NO_WAY if any(words in what for words in _UNREACHED) else refused} ({what})."
    return None


def asked(error: BaseException) -> str | None:
    """Which part of the stack an error, or what caused it, came from; None if it came from none."""
    for link in _chain(error):
        for module, part in _PARTS.items():
            if any(name.startswith(f"{module}.") for name in link.passed):
                return part
    return None


def _chain(error: BaseException | None) -> Iterator[_Link]:
    """Yield it and what caused it; what its notes tell of another process comes first, as it knows more."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for note in getattr(error, "__notes__", ()):
            yield from _told(note)
        text = str(error).strip() or type(error).__name__
        frames = (str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__))
        passed = [f"{name}." for name in (type(error).__module__, *frames)]
        yield _Link(text, _code(error) or _code_in(text), _status(error), passed)
        error = error.__cause__ or error.__context__
        if type(error).__name__ == "ContainerError":  # the engine's word that a step failed, whose note it is
            return


def _told(traceback: str) -> Iterator[_Link]:
    """Yield the errors of a traceback, which has the last one last; nothing of another note."""
    if not _FRAME.search(traceback):
        return
    for block in reversed(_BETWEEN.split(traceback)):
        files = _FRAME.findall(block)
        words = _FRAME.sub("", block)
        if not (error := _ERROR.search(words)):
            continue
        text = words[error.end() :].strip() or error[1]
        status = _STATUS.search(text)
        modules = (file.rpartition("site-packages/")[2].replace("/", ".") for file in files)
        yield _Link(text, _code_in(text), int(status[1]) if status else None, [f"{error[1]}.", *modules])


def _code_in(text: str) -> str | None:
    match = _CODE.search(text)
    return match[1] or match[2] if match else None


def _code(error: BaseException) -> str | None:
    """Return the code of an error of boto's or Azure's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        code = response.get("Error", {}).get("Code")
    else:
        code = getattr(error, "error_code", None)
    return str(code) if code else None


def _status(error: BaseException) -> int | None:
    """Return what the server answered, by an error of requests', MLflow's or the container engine's."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "response_status_code"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    status = getattr(error, "get_http_status_code", lambda: None)()
    return status if isinstance(status, int) else None
