"""A decorator written by hand with `if`s: the least that a call under this policy can cost.

It does what `flat` says for the agent that calls, keeps a budget and a list of what was called,
and nothing else: no types of arguments, no kill, no run, no approval, nothing that another thread
or process may see; policy changes by a deployment.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.policies.reference import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME: Final = "a decorator by hand"


class Refused(Exception):  # noqa: N818  # what an engineer would write
    """A call that the `if`s do not let through."""


class ByHand:
    """Governs functions for one agent.

    Args:
        agent: Its facts, as in an input document.
        calls: How many calls it has.
    """

    def __init__(self, agent: Mapping[str, Any], calls: int) -> None:
        decide = flat().by_hand
        if decide is None:
            msg = "`flat` has hand-written Python"
            raise RuntimeError(msg)
        self._decide = decide
        self._agent = agent
        self.remaining = {"calls": calls}
        self.record: list[tuple[int, str, dict[str, Any]]] = []

    def __call__(
        self, facts: Mapping[str, Any]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """The decorator of a tool with these facts."""

        def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(body)
            def call(**arguments: Any) -> Any:
                decision = self._decide(
                    {
                        "agent": self._agent,
                        "tool": facts,
                        "args": arguments,
                        "run": {"remaining": self.remaining},
                    }
                )
                if decision["effect"] != "allow":
                    raise Refused(decision["reasons"])
                self.remaining["calls"] -= 1
                self.record.append((time.time_ns(), facts["name"], arguments))
                if len(self.record) > 1000:  # noqa: PLR2004  # what is kept
                    self.record.clear()
                return body(**arguments)

            return call

        return decorate
