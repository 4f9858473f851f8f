"""``guardrails tools``: which callables are governed, and who may use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardrails.cli.console import ExitCode, notices, output, plain, print_json, print_problem
from guardrails.cli.inventory import Inventory, Listed, take
from guardrails.cli.policy_sources import nearby
from guardrails.config import Config, find_file
from guardrails.errors import ConfigError
from guardrails.model.money import display, dollars
from guardrails.register import Register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.enforcement.definition import ApprovalRule, Tool
    from guardrails.model.budget import Budget
    from guardrails.register.entries import ApprovalNeed

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the register says about one agent and one tool.

    Attributes:
        agent: The agent's id.
        granted: Whether its access names the tool's resource and operation.
        environments: Where it has a budget, and so may run at all.
        approval: What its approval entries say about the tool's name and labels.
    """

    agent: str
    granted: bool
    environments: tuple[str, ...]
    approval: tuple[str, ...]


@app.command()
def tools(
    package: Annotated[
        str,
        typer.Argument(metavar="PKG", help="A package or module, as `import` takes it."),
    ],
    *,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only what the register says about this agent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the governed and ungoverned callables of a package, and who may use them.

    Imports PKG and all its submodules, so their code at module level runs.

    The arguments of a call are not known here. What is shown holds for every
    call: the tool's facts, price, limits and approvals, and what the register
    grants each agent. Policy may still deny or ask: `guardrails policy eval`
    decides one call.

    Exits with 1 where a submodule cannot be imported or two tools share a name.
    """
    register = _register(agent)
    notices().print(plain(f"importing {package} …", "dim"))
    inventory = take(package)
    if as_json:
        print_json(_document(inventory, register, agent))
    else:
        _print(inventory, register, agent)
    if inventory.failures or inventory.clashes:
        raise typer.Exit(ExitCode.FINDING)


def _register(agent: str | None) -> Register | None:
    """The register of the configuration, or None where there is none and none is needed."""
    try:
        file = find_file()
    except ConfigError:
        if agent is not None:
            raise
        notices().print(
            plain("note: there is no guardrails.yaml here, so nothing is said about agents")
        )
        return None
    register = Register.load(nearby(Config.load(file).agents))
    if agent is not None:
        register.agent(agent)
    return register


def _grants(register: Register | None, tool: Tool, only: str | None) -> list[Grant]:
    if register is None:
        return []
    able = register.who_can(tool.facts.operation, tool.facts.resource)
    return [
        Grant(
            name,
            granted=name in able,
            environments=tuple(sorted(entry.budget)),
            approval=tuple(
                f"{point}: {_need(entry.approval[point])}"
                for point in (tool.facts.name, *tool.facts.labels)
                if point in entry.approval
            ),
        )
        for name, entry in sorted(register.entries.items())
        if only is None or name == only
    ]


def _need(need: ApprovalNeed) -> str:
    if need.required is False:
        return "asks nobody"
    parts = [f"asks {', '.join(need.approvers)}" if need.approvers else "asks"]
    if need.above is not None:
        parts.append(f"where {need.argument} is above {need.above.normalize():f}")
    return " ".join(parts)


def _print(inventory: Inventory, register: Register | None, agent: str | None) -> None:
    screen = output()
    for index, (listed, tool) in enumerate(inventory.governed):
        if index:
            screen.print()
        _print_tool(listed, tool, _grants(register, tool, agent))
    if inventory.ungoverned:
        if inventory.governed:
            screen.print()
        screen.print(plain("not governed: no policy decides about calls of these", "bold yellow"))
        for listed in inventory.ungoverned:
            screen.print(
                plain(f"  {listed.name}"), plain(f" {_place(listed)}", "dim"), soft_wrap=True
            )
    screen.print()
    governed, ungoverned = len(inventory.governed), len(inventory.ungoverned)
    modules = len(inventory.modules)
    screen.print(
        plain(
            f"{governed} governed, {ungoverned} not, in {modules} module{'s' * (modules != 1)}",
            "bold",
        )
    )
    for name, reason in inventory.failures:
        print_problem(f"{name}: left out: {reason}")
    for name, bearers in inventory.clashes:
        print_problem(
            f"two tools are called `{name}`: {', '.join(bearers)};"
            " give one another name: @governed_tool(name=…)"
        )


def _print_tool(listed: Listed, tool: Tool, grants: Sequence[Grant]) -> None:
    facts, screen = tool.facts, output()
    screen.print(plain(facts.name, "bold"), plain(f" {_place(listed)}", "dim"), soft_wrap=True)
    words = f"  {facts.operation} on {facts.resource}"
    if facts.labels:
        words += f"; {', '.join(facts.labels)}"
    if facts.hidden:
        words += f"; hides {', '.join(facts.hidden)}"
    screen.print(plain(words))
    spending = _spending(tool)
    if spending:
        screen.print(plain(f"  {spending}"))
    for rule in tool.approvals:
        screen.print(plain(f"  {_approval(rule)}"))
    width = max((len(grant.agent) for grant in grants), default=0)
    for grant in grants:
        name = grant.agent.ljust(width)
        if not grant.granted:
            screen.print(plain(f"  {name}  not granted", "red"))
        elif not grant.environments:
            screen.print(plain(f"  {name}  granted, but it has no budget anywhere", "yellow"))
        else:
            where = ", ".join(grant.environments)
            screen.print(plain(f"  {name}  granted", "green"), plain(f"in {where}"))
            for words in grant.approval:
                screen.print(plain(f"  {' ' * width}  {words}"))


def _spending(tool: Tool) -> str:
    cost = tool.price.cost
    parts = []
    if not isinstance(cost, int):
        parts.append("price by its arguments")
    elif cost:
        parts.append(f"{display(cost)} a call")
    limits = [f"{amount} {word}" for word, amount in _limits(tool.price.limits).items()]
    if limits:
        parts.append(f"at most {', '.join(limits)} in a run")
    return "; ".join(parts)


def _approval(rule: ApprovalRule) -> str:
    when = "" if rule.when is None else ", where its condition holds"
    people = f"{rule.quorum} of " if rule.quorum > 1 else ""
    return f"asks {people}{', '.join(rule.approvers)}{when}; expires in {_span(rule.expires_in)}"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _limits(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    found = {
        "usd": None if budget.micro_usd is None else dollars(budget.micro_usd),
        "tokens": budget.tokens,
        "calls": budget.calls,
    }
    return {word: amount for word, amount in found.items() if amount is not None}


def _place(listed: Listed) -> str:
    if not listed.file:
        return ""
    file = nearby(Path(listed.file))
    return f"{file}:{listed.row}" if listed.row else str(file)


def _document(inventory: Inventory, register: Register | None, agent: str | None) -> dict[str, Any]:
    return {
        "modules": inventory.modules,
        "governed": [
            _tool_document(listed, tool, _grants(register, tool, agent))
            for listed, tool in inventory.governed
        ],
        "ungoverned": [
            {"callable": each.name, "kind": each.kind, "place": _place(each)}
            for each in inventory.ungoverned
        ],
        "failures": [{"module": name, "reason": reason} for name, reason in inventory.failures],
        "clashes": [{"name": name, "tools": bearers} for name, bearers in inventory.clashes],
    }


def _tool_document(listed: Listed, tool: Tool, grants: Sequence[Grant]) -> dict[str, Any]:
    cost = tool.price.cost
    return {
        "callable": listed.name,
        "kind": listed.kind,
        "place": _place(listed),
        **tool.facts.document,
        "price_usd": dollars(cost) if isinstance(cost, int) else "by its arguments",
        "limits": _limits(tool.price.limits),
        "approvals": [
            {
                "when": "always" if rule.when is None else "conditional",
                "approvers": rule.approvers,
                "quorum": rule.quorum,
                "expires_in": rule.expires_in,
                "reason": rule.reason,
            }
            for rule in tool.approvals
        ],
        "agents": [
            {
                "agent": grant.agent,
                "granted": grant.granted,
                "environments": grant.environments,
                "approval": grant.approval,
            }
            for grant in grants
        ],
    }
