"""What asking an OPA server came to: an answer, nothing, OPA's own error, or no answer.

An answer is taken for one only where everything about it is as OPA makes it; all else is no
answer. A redirect is never followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.opa.exact_json import NotExactJSONError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.opa.exchange import Reply


class Trouble(StrEnum):
    """Why there is no answer."""

    CONNECT = "cannot connect"
    DEADLINE = "deadline passed"
    CLOSED = "connection closed"
    TLS = "TLS failed"
    TOKEN = "no token"  # noqa: S105  # that there is none
    UNAUTHORIZED = "not authorized"
    REDIRECT = "redirected"
    SERVER = "server error"
    GARBAGE = "no answer of an OPA"
    SIZE = "answer too large"
    REJECTED = "request rejected"
    VERSION = "OPA too old"
    BREAKER = "breaker open"

    @property
    def is_outage(self) -> bool:
        """Whether it counts against the server: not what one request alone may have caused."""
        return self not in {Trouble.SIZE, Trouble.REJECTED, Trouble.VERSION, Trouble.BREAKER}


class NoAnswer(Exception):  # noqa: N818  # named for what happened; carries an Unreachable outwards
    """An exchange gave no answer; ends a conversation.

    Args:
        trouble: Why.
        detail: What is known of it, without secrets and without anything that was received.
    """

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who decided.

    Attributes:
        version: OPA's version; empty where it was not told.
        bundles: The revision of each bundle by its name; an empty text where it has none.
    """

    version: str = ""
    bundles: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """OPA gave a value."""

    value: Any
    provenance: Provenance
    explanation: Any = None


@dataclass(frozen=True, slots=True)
class Undefined:
    """OPA answered, and the rule has no value."""

    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Failed:
    """OPA's evaluation failed, and will fail again.

    Attributes:
        code: OPA's error code, as ``eval_builtin_error``.
        message: What OPA says.
        file: The Rego file, where OPA names it.
        row: The line in it, counted from 1.
    """

    code: str
    message: str
    file: str | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There is no answer.

    Attributes:
        trouble: Why, as one of a few words.
        detail: What is known of it.
    """

    trouble: Trouble
    detail: str


Outcome: TypeAlias = "Answered | Undefined | Failed | Unreachable"

_OK: Final = 200
_ERROR: Final = 500
_CANCELLED: Final = "eval_cancel_error"
_LONGEST: Final = 512
"""How much of a text of OPA's is kept."""


def outcome_of(reply: Reply) -> Outcome:
    """What a whole HTTP response says."""
    status = reply.status
    if status == _OK:
        return _answer(reply)
    if status == _ERROR:
        return _error(reply)
    if status in {401, 403, 407}:
        return Unreachable(Trouble.UNAUTHORIZED, f"the server answers {status}")
    if status in {404, 405, 429}:
        return Unreachable(Trouble.SERVER, f"the server answers {status}")
    match status // 100:
        case 3:
            return Unreachable(Trouble.REDIRECT, f"the server answers {status}, which is not OPA's")
        case 4:
            return Unreachable(Trouble.REJECTED, f"the server answers {status}{_code_in(reply)}")
        case 5:
            return Unreachable(Trouble.SERVER, f"the server answers {status}")
    return _garbage(f"the server answers {status}")


def _answer(reply: Reply) -> Outcome:
    try:
        body = _object(reply)
        provenance = _provenance(body.get("provenance"))
    except _NotOPAError as error:
        return _garbage(str(error))
    if "code" in body or "errors" in body:
        return _garbage("the server answers 200 with an error")
    if "result" in body:
        return Answered(body["result"], provenance, body.get("explanation"))
    return Undefined(provenance)


def _error(reply: Reply) -> Outcome:
    try:
        body = _object(reply)
    except _NotOPAError:
        return Unreachable(Trouble.SERVER, "the server answers 500")
    errors = body.get("errors")
    first = errors[0] if type(errors) is list and errors else None
    if type(first) is not dict:
        return Unreachable(Trouble.SERVER, f"the server answers 500{_code(body)}")
    code, message = first.get("code"), first.get("message")
    if type(code) is not str or type(message) is not str or not code.startswith("eval_"):
        return Unreachable(Trouble.SERVER, f"the server answers 500{_code(first)}")
    if code == _CANCELLED:
        return Unreachable(Trouble.SERVER, "the server gave the evaluation up")
    file, row = None, None
    location = first.get("location")
    if type(location) is dict:
        file, row = location.get("file"), location.get("row")
    return Failed(
        _shown(code),
        _shown(message),
        _shown(file) if type(file) is str else None,
        row if type(row) is int else None,
    )


class _NotOPAError(Exception):
    """A response is none that OPA gives."""


def _object(reply: Reply) -> dict[str, Any]:
    kind = reply.content_type.partition(b";")[0].strip().lower()
    if kind != b"application/json":
        msg = "the answer is no JSON by its content type"
        raise _NotOPAError(msg)
    try:
        body = decode(reply.body)
    except NotExactJSONError as error:
        raise _NotOPAError(str(error)) from None
    if type(body) is not dict:
        msg = "the answer is no JSON object"
        raise _NotOPAError(msg)
    return body


def _provenance(found: object) -> Provenance:
    if found is None:
        return Provenance()
    if type(found) is dict:
        version, bundles = found.get("version"), found.get("bundles") or {}
        if type(version) is str and type(bundles) is dict:
            return Provenance(_shown(version), tuple(sorted(map(_bundle, bundles.items()))))
    msg = "its provenance is malformed"
    raise _NotOPAError(msg)


def _bundle(item: tuple[str, object]) -> tuple[str, str]:
    name, bundle = item
    revision = bundle.get("revision", "") if type(bundle) is dict else None
    if type(revision) is not str:
        msg = "its provenance is malformed"
        raise _NotOPAError(msg)
    return _shown(name), _shown(revision)


def _code_in(reply: Reply) -> str:
    try:
        return _code(_object(reply))
    except _NotOPAError:
        return ""


def _code(body: Mapping[str, object]) -> str:
    code = body.get("code")
    return f" `{_shown(code)}`" if type(code) is str else ""


def _shown(text: str) -> str:
    """A text of the server's, fit for a terminal."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _garbage(detail: str) -> Unreachable:
    return Unreachable(Trouble.GARBAGE, detail)
