"""The notice of a kill: what the configuration's sinks tell people, once the kill is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uuid_utils

from guardrails.alerts.dispatcher import Dispatcher
from guardrails.cli.callbacks import findable
from guardrails.clock import SystemClock
from guardrails.errors import ConfigError
from guardrails.model.notice import Notice, NoticeKind

if TYPE_CHECKING:
    from guardrails.config import Config
    from guardrails.model.kill import Scope
    from guardrails.model.notice import Undelivered
    from guardrails.register import Register


def send(  # noqa: PLR0913  # what is told, each by its name
    config: Config,
    register: Register | None,
    scope: Scope,
    *,
    reason: str,
    by: str,
    agent: str | None = None,
) -> list[dict[str, Any]]:
    """Tell the sinks, and wait a bounded time; which of them took it.

    Args:
        config: Names the sinks.
        register: Says whom an agent's kill concerns; None where it cannot be read.
        scope: What was killed.
        reason: Why.
        by: Who did it.
        agent: Whose kill it is, where that is one agent's.
    """
    if not config.alerts:
        return []
    clock = SystemClock()
    try:
        whom = {} if agent is None or register is None else register.agent(agent).whom
    except ConfigError:
        whom = {}  # it may be an agent that is not, or no longer, in the register
    notice = Notice(
        str(uuid_utils.uuid7()),
        NoticeKind.KILL,
        NoticeKind.KILL.severity,
        f"{scope} was killed by {by}: {reason}",
        clock.now_ns(),
        config.environment,
        {"scope": str(scope), "reason": reason, "by": by},
        agent,
        scope.name if scope.kind == "run" else None,
        whom,
    )
    findable(config)
    why: dict[str, str] = {}
    routes = []
    for sink in config.alerts:
        try:
            routes.append(sink.route(clock))
        except ConfigError as error:  # one that cannot be used keeps nobody else from being told
            why[sink.name] = str(error)

    def undelivered(what: Undelivered) -> None:
        why[what.sink] = what.reason

    dispatcher = Dispatcher(routes)
    dispatcher.subscribe(undelivered)
    dispatcher.notify(notice)
    dispatcher.close()
    return [
        {"sink": sink.name, "told": False, "why": why[sink.name]}
        if sink.name in why
        else {"sink": sink.name, "told": True}
        for sink in config.alerts
        if notice.severity >= sink.severity
    ]
