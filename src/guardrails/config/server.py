"""``server:`` of ``guardrails.yaml``: what ``guardrails serve`` is made of.

::

    server:
      name: approvals-api                 # its name under `servers:` of approvers.yaml
      key_file: secrets/approvals-api.key     # what it signs answers with
      host: 127.0.0.1                     # another address is TLS alone
      port: 8470
      certificate: secrets/tls.pem        # with the chain, in PEM
      certificate_key: secrets/tls.key
      link: https://approvals.acme.example/requests/{id}      # for notices
      jwt:                                # beside the tokens of approvers.yaml
        issuer: https://login.acme.example
        audience: guardrails
        keys: login.jwks.json             # a JSON Web Key Set, or one public key in PEM
        algorithms: [RS256]
        person: email                     # the claim that says who it is, as approvers.yaml does
        groups: groups                    # the claim with the approver groups; none if left out

Keys and certificates are looked at when the server starts: a check of policies needs none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema

from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.register.words import (  # noqa: TC001  # pydantic reads them at run time
    Name,
    Some,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardrails.register.source import Problem, Source

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""The signatures that may be allowed: by public keys alone, so that a key in a file makes none."""

DEFAULT_PORT: Final = 8470

_ID: Final = "{id}"


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """Whose JSON Web Tokens are taken, and what they say.

    Attributes:
        issuer: Who must have issued one.
        audience: Whom it must be for.
        keys: The file of the issuer's public keys.
        algorithms: The signatures that are allowed.
        person: The claim that says who it is.
        groups: The claim that lists the approver groups; None where approvers.yaml alone does.
    """

    issuer: str
    audience: str
    keys: Path
    algorithms: tuple[str, ...]
    person: str
    groups: str | None


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the section says; paths are absolute.

    Attributes:
        name: The server's name in ``approvers.yaml``.
        key_file: Its own private key.
        host: The address that it listens on.
        port: The port; 0 for a free one.
        certificate: Its certificate with the chain; None for plain HTTP.
        certificate_key: The certificate's private key.
        link: An address for people, with ``{id}`` in it; empty where there is none.
        jwt: Whose JSON Web Tokens are taken, if any's.
    """

    name: str
    key_file: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    certificate: Path | None = None
    certificate_key: Path | None = None
    link: str = ""
    jwt: JwtConfig | None = None


def _algorithm(value: object) -> object:
    if value not in ALGORITHMS:
        msg = f"{shown(value)} is not taken{nearest(str(value), ALGORITHMS)}; there are "
        raise ValueError(msg + quoted(ALGORITHMS))
    return value


class _WrittenJwt(Mapped):
    """The tokens as they are written."""

    issuer: Text
    audience: Text
    keys: Text
    algorithms: Some[
        Annotated[str, BeforeValidator(_algorithm), WithJsonSchema({"enum": [*ALGORITHMS]})]
    ] = ("RS256",)
    person: Text = "email"
    groups: Text | None = None


class WrittenServer(Mapped):
    """The section as it is written."""

    name: Name
    key_file: Text
    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = DEFAULT_PORT
    certificate: Text | None = None
    certificate_key: Text | None = None
    link: Text | None = None
    jwt: _WrittenJwt | None = None


def server_problems(
    written: WrittenServer | None, approvers: str | None, source: Source
) -> Iterator[Problem]:
    """What is wrong in the section that types alone do not show."""
    if written is None:
        return
    if approvers is None:
        message = "needs `approvers`: the file of who may answer"
        yield source.problem(("server",), message, of_key=True)
    for given, lacking in (
        ("certificate", "certificate_key"),
        ("certificate_key", "certificate"),
    ):
        if getattr(written, given) is not None and getattr(written, lacking) is None:
            yield source.problem(("server", given), f"needs `{lacking}` beside it", of_key=True)
    if written.link is not None and not _is_link(written.link):
        message = f"`https://host/path/{_ID}` is needed, not {shown(written.link)}"
        yield source.problem(("server", "link"), message)


def server_of(written: WrittenServer | None, base: Path) -> ServerConfig | None:
    """What a correct section says; paths are relative to `base`."""
    if written is None:
        return None
    jwt = written.jwt
    return ServerConfig(
        name=written.name,
        key_file=base / written.key_file,
        host=written.host,
        port=written.port,
        certificate=None if written.certificate is None else base / written.certificate,
        certificate_key=None if written.certificate_key is None else base / written.certificate_key,
        link=written.link or "",
        jwt=None
        if jwt is None
        else JwtConfig(
            jwt.issuer, jwt.audience, base / jwt.keys, jwt.algorithms, jwt.person, jwt.groups
        ),
    )


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    rest = parts.path + parts.query + parts.fragment
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and rest.count(_ID) == 1
