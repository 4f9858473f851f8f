"""Who asks: the person behind a request's token, as the server will vouch for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.approvals.people import identity
from guardrails.approvals.tokens import PREFIX, holder_of
from guardrails.server.jwt_tokens import JwtTokens, TokenRefused

if TYPE_CHECKING:
    from guardrails.approvals.approvers import Approvers, Server
    from guardrails.config.approvers import ApproversFile
    from guardrails.config.server import ServerConfig

_LONGEST = 8_192


@dataclass(frozen=True, slots=True)
class Caller:
    """A person whom the server knows.

    Attributes:
        name: Who, as approvers.yaml spells it where it lists the person.
        groups: The approver groups that the person is in.
        vouched: The groups that the person's token names; they count for whom approvers.yaml does
            not list.
        is_listed: Whether approvers.yaml lists the person.
    """

    name: str
    groups: frozenset[str]
    vouched: frozenset[str] = frozenset()
    is_listed: bool = True


class Unknown(Exception):  # noqa: N818  # named for what happened; it never leaves the server
    """Nobody knows who asks; the text says why, without the token.

    Attributes:
        claimed: Who the token says it is, if it could be read so far.
    """

    def __init__(self, message: str, claimed: str = "") -> None:
        super().__init__(message)
        self.claimed = claimed


class Callers:
    """Finds out who asks.

    Args:
        config: What the server is made of.
        approvers: The people and servers; who is taken out of the file is unknown at once.

    Raises:
        ConfigError: the keys of the tokens' issuer cannot be used.
    """

    def __init__(self, config: ServerConfig, approvers: ApproversFile) -> None:
        self._server = config.name
        self._approvers = approvers
        self._jwt = None if config.jwt is None else JwtTokens(config.jwt)

    def caller(self, authorization: str | None) -> Caller:
        """The person that the header ``Authorization`` stands for.

        Raises:
            Unknown: it stands for nobody.
            ConfigError: approvers or keys cannot be read any more.
        """
        approvers = self._approvers.current()
        server = approvers.servers.get(self._server)
        if server is None:
            raise Unknown(f"approvers.yaml no longer names the server `{self._server}`")
        token = _bearer(authorization)
        if token.startswith(PREFIX):
            person = holder_of(token, approvers)
            if person is None:
                raise Unknown("the token is nobody's, or no longer")
            return Caller(person.name, person.groups)
        if self._jwt is None:
            raise Unknown("the token is of no kind that is taken here")
        return self._of_jwt(self._jwt, token, approvers, server)

    def _of_jwt(
        self, reader: JwtTokens, token: str, approvers: Approvers, server: Server
    ) -> Caller:
        try:
            claimed = reader.claimed(token)
        except TokenRefused as error:
            raise Unknown(str(error)) from None
        try:
            identity(claimed.person)
        except ValueError as error:
            raise Unknown(str(error), claimed.person) from None
        person = approvers.find(claimed.person)
        if person is not None:
            return Caller(person.name, person.groups)
        groups = claimed.groups & server.groups
        return Caller(claimed.person, groups, groups, is_listed=False)


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise Unknown("the header `Authorization` is missing; it is `Bearer …`")
    kind, _, token = authorization.partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token or len(token) > _LONGEST or not token.isascii():
        raise Unknown("the header `Authorization` is not of the form `Bearer …`")
    return token
