"""The requests of another machine, through its ``guardrails serve``."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import requests

from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.table import Listed, UnknownRequest
from guardrails.approvals.versions import edited_key
from guardrails.audit.exact_json import exact_json
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.approval import ApprovalRequest, ApprovalState, ApprovalStep, Escalation
from guardrails.model.canonical import digest
from guardrails.model.decision import ApprovalDemand
from guardrails.model.exact_text import read_exact
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
        """The request with this id, or whose id begins so; what is shown of it is what was signed.

        Its state, steps and answers are the server's word alone.

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

    def listed(self, state: ApprovalState | None = None) -> tuple[Listed, ...]:
        """The same, as far as a list shows them."""
        return tuple(map(Listed.of, self.list(state)))

    def similar(self, request: ApprovalRequest) -> ApprovalRequest | None:
        """The call of the same agent and tool that was made last and was put to your groups."""
        try:
            return _request_of(self._asked("GET", f"/v1/approvals/{request.id}/similar"))
        except UnknownRequest:
            return None

    def left(self, request: ApprovalRequest) -> Mapping[str, int] | None:
        """What is left now of the limits of the request's run, as the server says."""
        left = self._asked("GET", f"/v1/approvals/{request.id}/left").get("left")
        if left is None or (isinstance(left, dict) and all(type(n) is int for n in left.values())):
            return left
        raise StateUnavailable("the server's answer is no budget")

    def answer(self, request: ApprovalRequest, *, approve: bool, reason: str) -> ApprovalRequest:
        """The request after the answer to what was shown of it.

        Raises:
            AnswerRefused: the answer does not count.
        """
        return self._said(request, "approve" if approve else "reject", reason=reason)

    def edit(
        self, request: ApprovalRequest, args: Mapping[str, Any], *, reason: str
    ) -> ApprovalRequest:
        """The request for the call with other arguments, which takes the place of this one.

        Raises:
            AnswerRefused: the person may not, or `args` are no other arguments of it.
            StateUnavailable: what the server says takes its place is another call.
        """
        key = edited_key(request, args)
        new = self._successor(self._said(request, "edit", reason=reason, args=dict(args)))
        if new.call_key != key:
            raise StateUnavailable("what the server says takes its place is another call")
        return new

    def accept(self, request: ApprovalRequest, *, reason: str) -> ApprovalRequest:
        """The request for the call that the proposal becomes.

        Raises:
            AnswerRefused: the person may not, or it is no proposal.
            StateUnavailable: what the server says it becomes is another call.
        """
        new = self._successor(self._said(request, "accept", reason=reason))
        parts = [(it.tool, digest(dict(it.args)), it.agent, it.principal) for it in (new, request)]
        if parts[0] != parts[1]:
            raise StateUnavailable("what the server says the proposal becomes is another call")
        return new

    def _said(self, request: ApprovalRequest, word: str, **said: Any) -> ApprovalRequest:
        body = {"digest": request.digest, **said}
        return _request_of(
            self._asked(
                "POST",
                f"/v1/approvals/{request.id}/{word}",
                data=exact_json(body),
                headers={"Content-Type": "application/json"},
            )
        )

    def _successor(self, request: ApprovalRequest) -> ApprovalRequest:
        if request.successor is None:
            raise StateUnavailable(f"the server says that nothing takes the place of {request.id}")
        return self.get(request.successor)

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
            document = read_exact(answer.text)
        except ValueError:
            document = None
        if answer.ok and not answer.is_redirect and isinstance(document, dict):
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        text = f"the server answered {answer.status_code}: {str(detail or answer.reason)[:500]}"
        if answer.status_code >= 500 or answer.is_redirect or answer.ok:  # noqa: PLR2004  # HTTP's 5xx
            raise StateUnavailable(text)
        raise UnknownRequest(text) if answer.status_code == 404 else AnswerRefused(text)  # noqa: PLR2004  # HTTP's


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
