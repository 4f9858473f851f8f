"""What the parity campaign decides with: the library alone and under every layer that ships.

Each subject is read as an engine reads it, layer over layer, over a register and data; its calls
are sound ones, to be varied.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.calls import call
from benchmarks.policies.flat.inputs import CASES as FLAT_CASES
from benchmarks.policies.library.inputs import CASES as LIBRARY_CASES
from benchmarks.policies.scaling import packages

from guardrails.engines.layers import PolicyFiles
from guardrails.register import Register

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.workload import Case

ROOT: Final = Path(__file__).parents[2]
_POLICIES: Final = ROOT / "policies"
_BENCHMARKS: Final = ROOT / "benchmarks" / "policies"
_EXAMPLES: Final = ROOT / "examples"


@dataclass(frozen=True, slots=True)
class Subject:
    """Policies, what they read, and calls that they are asked about.

    Attributes:
        name: As reports call it.
        files: The layers.
        given: What stands below ``data.guardrails_data`` besides the layers' files.
        calls: Sound calls.
        decides: Whether the entry point gives decisions in the published form.
    """

    name: str
    files: PolicyFiles
    given: Mapping[str, Any]
    calls: tuple[dict[str, Any], ...]
    decides: bool = True


def subjects(folder: Path) -> tuple[Subject, ...]:
    """All subjects.

    Args:
        folder: Where the policies that are generated may be written.
    """
    shipped = (_POLICIES / "guardrails", _POLICIES / "data.yaml")
    reference = {"agents": _agents(_BENCHMARKS / "library" / "agents.yaml")}
    settings = _BENCHMARKS / "library" / "data.yaml"
    calls = _calls(LIBRARY_CASES)
    return (
        Subject("library", PolicyFiles((*shipped, settings)), reference, calls),
        Subject(
            "library + read_only",
            PolicyFiles((*shipped, _POLICIES / "presets" / "read_only", settings)),
            reference,
            calls,
        ),
        Subject(
            "library + banking",
            PolicyFiles((*shipped, _POLICIES / "examples" / "banking")),
            {
                "agents": _agents(_EXAMPLES / "data" / "agentdojo" / "agents.yaml"),
                "accounts": {"customer:4711": _BOOKS, "customer:9": {"balance": "much"}},
            },
            _banking(),
        ),
        Subject(
            "library + examples",
            PolicyFiles((*shipped, _EXAMPLES / "policies")),
            {"agents": _agents(_EXAMPLES / "agents.yaml")},
            _examples(),
        ),
        Subject(
            "flat",
            PolicyFiles((_BENCHMARKS / "flat",)),
            {},
            _calls(FLAT_CASES),
            decides=False,
        ),
        _generated(folder),
    )


def _calls(made: Iterable[Case]) -> tuple[dict[str, Any], ...]:
    return tuple(copy.deepcopy(dict(each.input)) for each in made)


def _agents(file: Path) -> dict[str, Any]:
    return Register.load(file).policy_data()


_BOOKS: Final = {
    "balance": 1810.5,
    "paid": {"US122000000121212121212": 100, "GB29NWBK60161331926819": 50.25},
    "standing_orders": [
        {"id": 7, "payee": "US122000000121212121212", "confirmed": 100},
        {"id": 8, "payee": "CA133012400231215421872", "confirmed": 1200.5},
    ],
}


def _banking() -> tuple[dict[str, Any], ...]:
    payee = "US122000000121212121212"
    made: list[tuple[str, str, str, list[str], dict[str, Any]]] = [
        ("get_balance", "account", "read", [], {}),
        ("send_money", "payments", "create", ["moves_money"],
         {"recipient": payee, "amount": 20, "subject": "rent", "date": "2026-06-15"}),
        ("send_money", "payments", "create", ["moves_money"],
         {"recipient": "GB29NWBK60161331926819", "amount": 50, "subject": "x", "date": None}),
        ("send_money", "payments", "create", ["moves_money"],
         {"recipient": "DE89370400440532013000", "amount": 1, "subject": "x", "date": "soon"}),
        ("schedule_transaction", "standing_orders", "create", ["moves_money"],
         {"recipient": payee, "amount": 20, "subject": "x", "date": "", "recurring": True}),
        ("update_scheduled_transaction", "standing_orders", "update", ["moves_money"],
         {"id": 7, "recipient": None, "amount": 120, "subject": None, "recurring": None}),
        ("update_scheduled_transaction", "standing_orders", "update", ["moves_money"],
         {"id": 8, "recipient": "CA133012400231215421872", "amount": 1440}),
        ("update_password", "credentials", "update", ["personal_data"], {"password": "s3cret"}),
    ]  # fmt: skip
    return tuple(
        call(
            agent=agent,
            tool=tool,
            resource=resource,
            operation=operation,
            args=copy.deepcopy(args),
            labels=labels,
            environment="sandbox",
            owner="imani.okafor@bank.example",
        )
        for agent in ("banking-assistant", "asks-for-everything")
        for tool, resource, operation, labels, args in made
    )


def _examples() -> tuple[dict[str, Any], ...]:
    agent, owner = "invoice-agent", "dana.ruiz@acme.example"
    money = ["moves_money"]
    made: list[tuple[str, str, str, str, str, list[str], dict[str, Any]]] = [
        (agent, owner, "match_invoice", "invoices", "read", [], {"invoice": "INV-2041"}),
        (agent, owner, "pay_difference", "payments", "write", money,
         {"supplier": "Brandt", "amount": 20}),
        (agent, owner, "pay_difference", "payments", "write", money,
         {"supplier": "Helvig", "amount": 4180}),
        (agent, owner, "send_email", "mail", "write", ["customer_facing"],
         {"to": "orders@brandt.example", "subject": "x", "body": "y"}),
        ("triage-agent", "mia.lind@acme.example", "set_queue", "tickets", "write", [],
         {"ticket": 88123, "queue": "billing"}),
        ("contract-agent", "ines.moreau@acme.example", "send_renewal", "mail", "write",
         ["customer_facing"], {"to": ["legal@halden.example"], "cc": None}),
    ]  # fmt: skip
    return tuple(
        call(
            agent=who,
            owner=owner,
            tool=tool,
            resource=resource,
            operation=operation,
            args=copy.deepcopy(args),
            labels=labels,
            environment="demo",
        )
        for who, owner, tool, resource, operation, labels, args in made
    )


def _generated(folder: Path) -> Subject:
    """The merge over twenty packages of rules, as the benchmarks generate them."""
    policy = packages(20, rules=100, tools=10)
    for name, text in policy.modules.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Subject(
        "merge of 20 packages",
        PolicyFiles((folder,)),
        policy.data["guardrails_data"],
        _calls(policy.cases),
    )
