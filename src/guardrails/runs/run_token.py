"""A run's token: a signed text with which another process of this machine can join the run.

::

    gr1.<key id>.<claims, base64url JSON>.<HMAC-SHA256 of all before it, base64url>

The key is a file of 32 random bytes in the state directory, its user's alone (0600). Who can read
it can already act as this user; a token gives less: one run, as it is, for some minutes. It
is checked before anything in it is read, compared in constant time, and is good for one
environment. It is no secret that lasts, but it is one while it lasts: it belongs in a worker's
environment, not on a command line, where every user of the machine can read it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.errors import CallDenied, Reason, StateUnavailable
from guardrails.key_files import key_in

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE: Final = "GUARDRAILS_RUN_TOKEN"
"""The environment variable in which a worker finds its token."""

KEY_FILE: Final = "run-tokens.key"
"""The name of the key's file in the state directory."""

_VERSION: Final = "gr1"
_PARTS: Final = 4
_LONGEST: Final = 32_768
_SKEW_NS: Final = 5_000_000_000
_RULE: Final = "guardrails.run"


class Ancestor(NamedTuple):
    """A run above the one that is joined, or that one itself: which, whose, and which opening.

    Attributes:
        run: Its id.
        agent: The agent's id.
        facts: The digest of what the register says of that agent.
        nonce: What this opening of it has, and no other of the same id.
    """

    run: str
    agent: str
    facts: str
    nonce: str


class Claims(NamedTuple):
    """What a token says. All of it is compared with what holds where it is used.

    Attributes:
        environment: Where it may be used.
        chain: The runs, outermost first; the last is the one to join.
        narrowed_by: Agents for which its calls are decided besides its own, with their facts.
        mode: The run's mode.
        labels: Its labels.
        principal: On whose behalf it works.
        wait: Seconds that a call waits for people.
        deadline: UTC nanoseconds at which its time is over; None: never.
        issued: UTC nanoseconds at which the token was made.
        expires: UTC nanoseconds until which a process can join with it.
        trace: The W3C ``traceparent`` under which what is traced there belongs; empty: none.
    """

    environment: str
    chain: tuple[Ancestor, ...]
    narrowed_by: tuple[tuple[str, str], ...]
    mode: str
    labels: tuple[str, ...]
    principal: str | None
    wait: float | None
    deadline: int | None
    issued: int
    expires: int
    trace: str = ""


class RunTokens:
    """Signs and checks tokens with the key of a state directory, which is made at first use.

    Args:
        state: The state directory.
    """

    def __init__(self, state: str | Path) -> None:
        self.path = Path(state) / KEY_FILE
        self._key: bytes | None = None

    def sign(self, claims: Claims) -> str:
        """The token that says `claims`.

        Raises:
            StateUnavailable: the key cannot be used.
        """
        key = self._known_key()
        text = json.dumps(claims._asdict(), ensure_ascii=True, separators=(",", ":"))
        signed = f"{_VERSION}.{_key_id(key)}.{_base64(text.encode())}"
        return f"{signed}.{_mac(key, signed)}"

    def read(self, token: str, *, environment: str, now_ns: int) -> Claims:
        """What `token` says, once it is known that it was signed here, for here and for now.

        Raises:
            CallDenied: it was not.
            StateUnavailable: the key cannot be used.
        """
        key = self._known_key()
        parts = token.split(".") if isinstance(token, str) and len(token) <= _LONGEST else []
        if len(parts) != _PARTS or parts[0] != _VERSION or not token.isascii():
            raise refused("it is no token of a run")
        signed, _, mac = token.rpartition(".")
        if not hmac.compare_digest(parts[1].encode(), _key_id(key).encode()):
            raise refused(f"it was signed with another key than `{self.path}`")
        if not hmac.compare_digest(mac.encode(), _mac(key, signed).encode()):
            raise refused("its signature is wrong")
        claims = _claims(json.loads(base64.urlsafe_b64decode(parts[2] + "==")))
        if claims.environment != environment:
            raise refused(
                f"it is for the environment `{claims.environment}`, and this is `{environment}`"
            )
        if now_ns >= claims.expires:
            raise refused("it has expired; make a new one where the run is open")
        if claims.issued > now_ns + _SKEW_NS:
            raise refused("it was made in the future; look at the clocks")
        return claims

    def _known_key(self) -> bytes:
        if self._key is None:
            try:
                self._key = key_in(self.path, "run tokens")
            except OSError as error:
                raise StateUnavailable(
                    f"the key of run tokens, `{self.path}`, cannot be used: {error}"
                ) from error
        return self._key


def refused(why: str, *, run_id: str | None = None) -> CallDenied:
    """The refusal of a token."""
    return CallDenied(
        f"the token of a run is refused: {why}", run_id=run_id, reasons=(Reason(_RULE, why),)
    )


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"guardrails run token key" + key).hexdigest()[:16]


def _mac(key: bytes, signed: str) -> str:
    return _base64(hmac.digest(key, signed.encode(), hashlib.sha256))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _claims(said: Any) -> Claims:
    # It was signed here; another release may have had other claims.
    if (
        type(said) is not dict
        or said.keys() != set(Claims._fields)
        or any(len(each) != len(Ancestor._fields) for each in said["chain"])
    ):
        raise refused("it was made by another release of guardrails")
    return Claims(
        **{
            **said,
            "chain": tuple(Ancestor(*each) for each in said["chain"]),
            "narrowed_by": _pairs(said["narrowed_by"]),
            "labels": tuple(said["labels"]),
        }
    )


def _pairs(said: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((agent, facts) for agent, facts in said)
