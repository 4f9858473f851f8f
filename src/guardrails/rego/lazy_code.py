"""Compiled code, made when it is first asked for, and the interpreter where there can be none."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from guardrails.rego import ir
    from guardrails.rego.compiled import Compiled, Entrypoint
    from guardrails.rego.values import Value

_log: Final = logging.getLogger("guardrails")


@final
class LazyCode:
    """The compiled forms of one policy. Threads may share it: each form is made once.

    Args:
        policy: The plans and functions.
        data: The base documents that are bound to it.
    """

    __slots__ = ("_data", "_lock", "_made", "_policy")

    def __init__(self, policy: ir.Policy, data: Value) -> None:
        self._policy = policy
        self._data = data
        self._lock = threading.Lock()
        self._made: dict[tuple[bool, bool], Compiled | None] = {}

    def get(self, *, strict: bool, bound: bool) -> Compiled | None:
        """The policy for inputs of any shape; None if it has to be interpreted.

        Args:
            strict: Errors of builtins are errors of the evaluation; else they are undefined.
            bound: For the bound data; else each evaluation brings its own.
        """
        key = (strict, bound)
        try:
            return self._made[key]
        except KeyError:
            pass
        with self._lock:
            if key not in self._made:
                data = self._data if bound else UNDEFINED
                self._made[key] = _compiled(self._policy, data, Settings(strict=strict))
            return self._made[key]


def entrypoint_of(
    policy: ir.Policy, plan: ir.Plan, data: Value, settings: Settings
) -> Entrypoint | None:
    """One plan of a policy, compiled; None if it has to be interpreted."""
    found = _compiled(replace(policy, plans={plan.name: plan}), data, settings)
    return None if found is None else found.entrypoint(plan.name)


def _compiled(policy: ir.Policy, data: Value, settings: Settings) -> Compiled | None:
    try:
        return compile_policy(policy, data, settings)
    except (CannotEmit, RecursionError) as error:
        reason = str(error) or "it is nested too deeply"
        _log.warning("a policy is interpreted, which takes longer: %s", reason)
    except Exception:  # noqa: BLE001  # the boundary of a phase, ended by the interpreter
        # The interpreter is the meaning of a policy; a fault of the compiler costs time alone.
        _log.warning("the compiler failed; the policy is interpreted", exc_info=True)
    return None
