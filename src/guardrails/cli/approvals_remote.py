"""The requests of another machine, through its ``guardrails serve``."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import requests

from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.table import UnknownRequest
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.approval import ApprovalRequest, ApprovalState, ApprovalStep, Escalation
from guardrails.model.decision import ApprovalDemand
from guardrails.model.lineage import terms_of
from guardrails.webhooks.endpoint import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLE: Final = "GUARDRAILS_TOKEN"  # noqa: S105  # the variable's name
SERVER_VARIABLE: Final = "GUARDRAILS_SERVER"

_TIMEOUT: Final = 15.0
_MOST: Final = 500
_WHOLE_ID: Final = re.compile(r"ap-[0-9a-f]{12}")


class RemoteDesk:
    """Requests that are looked at and answered through a server.

    The token goes to that server alone: no redirect is followed, no proxy and no password file
    of the environment is used, and without TLS nothing leaves this machine.

    Args:
        url: The server's address, as ``https://approvals.acme.example``.

    Raises:
        ConfigError: the address is no safe one, or there is no token.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        local = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or not (parts.scheme == "https" or local) or "@" in parts.netloc:
            raise ConfigError(
                f"`{url[:200]}` is no server to send a token to: `https://…` is needed, or "
                "`http://` with a loopback address"
            )
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token.isascii() or not token.isprintable() or not token:
            raise ConfigError(f"{TOKEN_VARIABLE} holds no token; the server needs one")
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def list(self, state: ApprovalState | None = None) -> tuple[ApprovalRequest, ...]:
        """The newest requests that are put to the groups of the token's person, oldest first."""
        query = {"limit": str(_MOST), **({} if state is None else {"state": state.value})}
        found = self._asked("GET", "/v1/approvals", params=query)
        return tuple(_request_of(each) for each in found["requests"])

    def get(self, request_id: str) -> ApprovalRequest:
        """The request with this id, or whose id begins so.

        Raises:
            UnknownRequest: none does, or several do.
        """
        if not _WHOLE_ID.fullmatch(request_id):
            begins = (request_id, f"ap-{request_id}")
            ids = [each.id for each in self.list() if each.id.startswith(begins)]
            if len(ids) != 1:
                word = "no request" if not ids else "several requests"
                raise UnknownRequest(f"`{request_id[:80]}` fits {word} of the server")
            request_id = ids[0]
        return _request_of(self._asked("GET", f"/v1/approvals/{request_id}"))

    def answer(self, request_id: str, *, approve: bool, reason: str) -> ApprovalRequest:
        """The request after the answer to what is shown of it now.

        Raises:
            AnswerRefused: the answer does not count.
        """
        there = self.get(request_id)
        word = "approve" if approve else "reject"
        said = {"digest": there.digest, "reason": reason}
        return _request_of(self._asked("POST", f"/v1/approvals/{there.id}/{word}", json=said))

    def _asked(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            answer = self._session.request(
                method, self._url + path, timeout=_TIMEOUT, allow_redirects=False, **given
            )
        except requests.RequestException as error:
            raise StateUnavailable(
                f"the server `{self._url}` cannot be reached: {type(error).__name__}"
            ) from error
        try:
            document = json.loads(answer.text, parse_float=Decimal)
        except ValueError:
            document = None
        if answer.ok and not answer.is_redirect and isinstance(document, dict):
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        text = f"the server answered {answer.status_code}: {str(detail or answer.reason)[:500]}"
        if answer.status_code >= 500 or answer.is_redirect or answer.ok:  # noqa: PLR2004  # HTTP's 5xx
            raise StateUnavailable(text)
        raise AnswerRefused(text)


def _request_of(document: Mapping[str, Any]) -> ApprovalRequest:
    """The request that a document says, whose digest is that of what it shows.

    Raises:
        StateUnavailable: it says none, or shows something else than its digest is of.
    """
    try:
        known = {each.name for each in fields(ApprovalRequest)}
        given = {name: value for name, value in document.items() if name in known}
        given["state"] = ApprovalState(given["state"])
        given["demands"] = tuple(
            ApprovalDemand(**{**each, "approvers": tuple(each["approvers"])})
            for each in given["demands"]
        )
        given["escalation"] = tuple(Escalation(**each) for each in given["escalation"])
        given["steps"] = tuple(ApprovalStep(**each) for each in given["steps"])
        given["lineage"] = tuple(map(terms_of, given["lineage"]))
        request = ApprovalRequest(**given)
        fits = request.digest == document["digest"] and request.key_of_shown() == request.call_key
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise StateUnavailable(f"the server's answer is no request: {error}") from error
    if not fits:
        raise StateUnavailable("what the server shows is not what its digest is of")
    return request
