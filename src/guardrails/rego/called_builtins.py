"""Whether every builtin that a policy calls is there, and takes the arguments that it gets."""

from __future__ import annotations

from guardrails.errors import PolicyLoadError
from guardrails.rego import ir
from guardrails.rego.builtins import BUILTINS, extras
from guardrails.rego.builtins.unsupported import advice


def check_builtins(policy: ir.Policy, origin: str) -> None:
    """Refuse a policy that calls what is no builtin, is not installed, or takes other arguments.

    Args:
        policy: The decoded plans and functions.
        origin: What errors call the plan.

    Raises:
        PolicyLoadError: It calls such a builtin.
    """
    callers: list[ir.Function | ir.Plan] = [*policy.functions.values(), *policy.plans.values()]
    for caller in callers:
        for statement in ir.statements(caller.blocks):
            if not isinstance(statement, ir.CallBuiltin):
                continue
            builtin = BUILTINS.get(statement.name)
            if builtin is None:
                msg = (
                    f"the builtin `{statement.name}` is not supported{advice(statement.name)};"
                    f" it is called in `{caller.name}`"
                )
            elif builtin.arity != len(statement.args):
                count = len(statement.args)
                msg = (
                    f"`{statement.name}` takes {builtin.arity} arguments, not {count};"
                    f" it is called in `{caller.name}`"
                )
            elif builtin.extra and not extras.is_installed(builtin.extra):
                msg = (
                    f"the builtin `{statement.name}` needs the extra `{builtin.extra}`:"
                    f" pip install 'guardrails-opa[{builtin.extra}]';"
                    f" it is called in `{caller.name}`"
                )
            else:
                continue
            where = statement.where
            raise PolicyLoadError(msg, file=where.file or origin, row=where.row, col=where.col)
