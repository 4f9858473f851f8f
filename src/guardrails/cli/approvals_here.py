"""The requests of this machine, answered by one person's own key."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.versions import edited_key
from guardrails.desk import Desk
from guardrails.errors import ConfigError
from guardrails.model.approval import Answer
from guardrails.model.kill import Subject
from guardrails.processes import user_name
from guardrails.runs.kill_facts import kill_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.approvals.approvers import Approver
    from guardrails.approvals.table import Listed
    from guardrails.config import Config
    from guardrails.model.approval import ApprovalRequest, ApprovalState
    from guardrails.runs.kill_store import Act

CHANNEL: Final = "cli"
"""How the record and a request's steps call this way of answering."""


class OwnDesk:
    """Requests that are looked at and answered on their own machine.

    Args:
        config: Where they are, and who may answer.
        name: Who answers, where several people of `approvers.yaml` have this key.
        key: The file of the person's key; None for the usual one. It is read by the first answer.
        tell: Whether steps that are made here are told by the sinks of ``alerts``.

    Raises:
        ConfigError: as :class:`guardrails.desk.Desk`; each answer, too, where nobody of
            `approvers.yaml` has this key, or works as another user here.
        StateUnavailable: as there.
    """

    def __init__(
        self,
        config: Config,
        *,
        name: str | None = None,
        key: Path | None = None,
        tell: bool = True,
    ) -> None:
        self._desk = Desk(config, tell=tell)
        self._name = name
        self._file = key or key_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.close()

    def list(self, state: ApprovalState | None = None) -> tuple[ApprovalRequest, ...]:
        """All requests, or those in one state; the oldest first."""
        return self._desk.service.list(state)

    def listed(self, state: ApprovalState | None = None) -> tuple[Listed, ...]:
        """The same, as far as a list shows them."""
        return self._desk.service.listed(state)

    def get(self, request_id: str) -> ApprovalRequest:
        """The request with this id, or whose id begins so.

        Raises:
            UnknownRequest: none does, or several do.
        """
        return self._desk.service.get(request_id)

    def similar(self, request: ApprovalRequest) -> ApprovalRequest | None:
        """The call of the same agent and tool that was approved and made last."""
        return self._desk.service.similar(request)

    def left(self, request: ApprovalRequest) -> Mapping[str, int] | None:
        """What is left now of the limits of the request's run; None where that is not known."""
        return self._desk.left(request)

    def killed(self, request: ApprovalRequest) -> Act | None:
        """The kill that refuses the request's call now; None for none.

        Raises:
            StateUnavailable: the kill switch cannot be used.
        """
        config = self._desk.config
        if config.state is None:
            return None
        runs = tuple(each.id for each in request.lineage) or (request.run_id,)
        call = Subject(runs, request.agent, "", config.environment, request.tool)
        return next(
            (act for act in kill_facts(config.state).killed if act.scope.covers(call)), None
        )

    def answer(self, request: ApprovalRequest, *, approve: bool, reason: str) -> ApprovalRequest:
        """The request after the answer to what was shown of it.

        Raises:
            AnswerRefused: the answer does not count.
        """
        said = self._said(request, approve=approve, reason=reason)
        return self._desk.answer(request.id, approve=approve, **said)

    def edit(
        self, request: ApprovalRequest, args: Mapping[str, Any], *, reason: str
    ) -> ApprovalRequest:
        """The request for the call with other arguments, which takes the place of this one.

        Raises:
            AnswerRefused: this person may not, or `args` are no other arguments of it.
        """
        key = edited_key(request, args)
        said = self._said(request, approve=False, reason=reason, edit=key)
        return self._desk.edit(request.id, args, **said)

    def accept(self, request: ApprovalRequest, *, reason: str) -> ApprovalRequest:
        """The request for the call that the proposal becomes.

        Raises:
            AnswerRefused: this person may not, or it is no proposal.
        """
        said = self._said(request, approve=True, reason=reason)
        return self._desk.accept(request.id, **said)

    def _said(
        self, request: ApprovalRequest, *, approve: bool, reason: str, edit: str = ""
    ) -> dict[str, Any]:
        """What the person says, and the signature that proves it."""
        person, mine = self._me()
        now = self._desk.clock.now_ns()
        said = Answer(person.name, person.groups, approve, reason, now, CHANNEL)
        said = replace(said, edit=edit)
        return {
            "by": said.by,
            "reason": said.reason,
            "channel": said.channel,
            "time": said.time,
            "digest": request.digest,
            "signature": mine.sign(request.digest, said),
        }

    def _me(self) -> tuple[Approver, ApproverKey]:
        """Who answers here, and the key that proves it."""
        desk, name = self._desk, self._name
        if desk.approvers is None:
            raise ConfigError(
                f"`{desk.config.file}` names no `approvers:` file, so nobody can answer here; see "
                "`guardrails approvals enroll`"
            )
        approvers = desk.approvers.current()
        mine = ApproverKey.load(self._file)
        own = [each for each in approvers.people.values() if each.key == mine.public]
        own = [each for each in own if name is None or approvers.find(name) == each]
        if not own:
            whose = "anybody" if name is None else f"`{name}`"
            raise ConfigError(
                f"approvers.yaml does not have the key in `{self._file}` for {whose}; name yours "
                "with `--key`, or add what `guardrails approvals enroll` printed"
            )
        person = own[0]
        if person.os_user not in (None, user_name()):
            raise ConfigError(
                f"`{person.name}` works as `{person.os_user}` here, not as `{user_name()}`"
            )
        return person, mine


def key_file() -> Path:
    """Where a person's key is, if nothing is said."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "guardrails" / "approver.key"
