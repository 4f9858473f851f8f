"""What is measured: the variants of each benchmark, and the gates that hold them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import sidecar
from benchmarks.gates import Gate
from benchmarks.peers import cedar, cpp_rego, opa_server, rust_rego
from benchmarks.policies import scaling
from benchmarks.policies.reference import flat, library
from benchmarks.variant import NotThereError, Variant, variant
from benchmarks.variants import COMPILED, HOOKS, INTERPRETED, SHAPED, SPECIALISED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import ExitStack

    from benchmarks.policies.policy import Policy
    from benchmarks.workload import Case

BY_HAND: Final = "hand-written"
"""The variant that the others are compared with."""

ENTRIES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the data in the part `data`."""


@dataclass(frozen=True, slots=True)
class Field:
    """The variants of one benchmark, ready to run.

    Attributes:
        variants: Those that are there.
        absent: Why the others are not, by name.
        cases: What they all decide about.
    """

    variants: tuple[Variant, ...]
    absent: Mapping[str, str]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Variants that run together.

    Attributes:
        name: For ``--only``.
        title: What is measured, in a few words.
        open: Makes the field; what has to be closed goes on the stack. Of the variants only
            those in the collection are made, all of them where it is None.
        baseline: What the ratios in the table are to; None for the first variant.
        gates: What has to hold.
    """

    name: str
    title: str
    open: Callable[[ExitStack, Collection[str] | None], Field]
    baseline: str | None
    gates: tuple[Gate, ...]


def benchmarks() -> tuple[Benchmark, ...]:
    """All that compare decisions, in the order in which they run."""
    return (
        Benchmark(
            "flat",
            "one package of about 45 lines",
            lambda _, wanted: _beside_hand_written(flat(), wanted),
            BY_HAND,
            (
                Gate(SHAPED, BY_HAND, 1.25),
                Gate(SPECIALISED, BY_HAND, 0.6),
            ),
        ),
        Benchmark(
            "library",
            "the shipped library with its merge, 16 agents",
            lambda _, wanted: _beside_hand_written(library(), wanted),
            BY_HAND,
            (
                Gate(SHAPED, BY_HAND, 2),
                Gate(SPECIALISED, BY_HAND, 1),
            ),
        ),
        Benchmark(
            "peers",
            "`flat`, beside other engines",
            _beside_peers,
            BY_HAND,
            (
                Gate(SHAPED, rust_rego.NAME, 1 / 30),
                Gate(SHAPED, cedar.NAME, 1 / 50),
                Gate(SHAPED, cpp_rego.NAME, 1 / 150),
            ),
        ),
        Benchmark(
            "sidecar",
            "one decision by an OPA server, over connections that stay open",
            _beside_http_client,
            sidecar.CLIENT_TCP,
            (
                Gate(sidecar.TCP, sidecar.CLIENT_TCP, 1),
                Gate(sidecar.UNIX, sidecar.CLIENT_UNIX, 1),
            ),
        ),
        _growing(
            "rules",
            "10 rules over 2 tools to 1,000 over 200: five apply to a call in each",
            {
                "10 rules": lambda: scaling.rules(10, 2),
                "100 rules": lambda: scaling.rules(100, 20),
                "1,000 rules": lambda: scaling.rules(1000, 200),
            },
            3,
        ),
        _growing(
            "packages",
            "the same 500 rules in 1 and in 50 packages, merged",
            {
                "1 package": lambda: scaling.packages(1),
                "50 packages": lambda: scaling.packages(50),
            },
            1.5,
        ),
        _growing(
            "grants",
            "the shipped library over a larger register",
            {
                "100 grants": lambda: scaling.grants(10),
                "100,000 grants": lambda: scaling.grants(10_000),
            },
            1.5,
        ),
        _growing(
            "data",
            "`flat` over more entries of data",
            {
                f"{count:,} entries": lambda count=count: scaling.entries(count)  # type: ignore[misc]  # a lambda's default has no type
                for count in ENTRIES
            },
            1.5,
        ),
    )


def _made(
    makers: Mapping[str, Callable[[], Variant]], wanted: Collection[str] | None
) -> tuple[list[Variant], dict[str, str]]:
    """The variants that are there, and why the others are not."""
    found, absent = [], {}
    for name, make in makers.items():
        if wanted is None or name in wanted:
            try:
                found.append(make())
            except NotThereError as error:
                absent[name] = str(error)
    return found, absent


def _by_hand(policy: Policy) -> Variant:
    if policy.by_hand is None:
        raise NotThereError("nobody wrote it by hand")
    return variant(BY_HAND, policy.by_hand)


def _beside_hand_written(policy: Policy, wanted: Collection[str] | None) -> Field:
    makers: dict[str, Callable[[], Variant]] = {BY_HAND: lambda: _by_hand(policy)}
    makers |= {name: lambda hook=hook: hook(policy) for name, hook in HOOKS.items()}  # type: ignore[misc]  # a lambda's default has no type
    found, absent = _made(makers, wanted)
    return Field(tuple(found), absent, policy.cases)


def _beside_peers(stack: ExitStack, wanted: Collection[str] | None) -> Field:
    policy = flat()
    makers: dict[str, Callable[[], Variant]] = {
        BY_HAND: lambda: _by_hand(policy),
        SHAPED: lambda: HOOKS[SHAPED](policy),
        INTERPRETED: lambda: HOOKS[INTERPRETED](policy),
        rust_rego.NAME: lambda: rust_rego.regorus(policy),
        cedar.NAME: lambda: cedar.cedarpy(policy),
        cpp_rego.NAME: lambda: cpp_rego.regopy(policy),
        opa_server.NAME: lambda: stack.enter_context(opa_server.opa_server(policy)),
    }
    found, absent = _made(makers, wanted)
    return Field(tuple(found), absent, policy.cases)


def _beside_http_client(stack: ExitStack, wanted: Collection[str] | None) -> Field:
    cases = sidecar.cases(flat().cases)
    try:
        makers = sidecar.makers(stack)
    except NotThereError as error:
        names = (sidecar.TCP, sidecar.UNIX, sidecar.CLIENT_TCP, sidecar.CLIENT_UNIX)
        return Field((), dict.fromkeys(names, str(error)), cases)
    found, absent = _made(makers, wanted)
    return Field(tuple(found), absent, cases)


def _growing(
    name: str, title: str, policies: Mapping[str, Callable[[], Policy]], target: float
) -> Benchmark:
    """The same policy in more and more sizes, by each variant; the shaped one is gated.

    Only that one is measured in sizes between the smallest and the largest.
    """
    smallest, *between, largest = policies

    def open_field(_: ExitStack, wanted: Collection[str] | None) -> Field:
        made = functools.cache(lambda size: policies[size]())
        makers: dict[str, Callable[[], Variant]] = {}
        for kind in (SHAPED, COMPILED, INTERPRETED):
            for size in (smallest, *(between if kind == SHAPED else ()), largest):
                row = _row(kind, size)
                makers[row] = lambda kind=kind, size=size, row=row: _sized(kind, made(size), row)  # type: ignore[misc]  # as above
        found, absent = _made(makers, wanted)
        return Field(tuple(found), absent, made(smallest).cases)

    gate = Gate(_row(SHAPED, largest), _row(SHAPED, smallest), target)
    return Benchmark(name, title, open_field, None, (gate,))


def _row(kind: str, size: str) -> str:
    return f"{kind}, {size}"


def _sized(kind: str, policy: Policy, row: str) -> Variant:
    made = HOOKS[kind](policy)
    return Variant(row, made.bind, lambda found: _told(made.answer(found)), made.remark)


def _told(decision: Any) -> Any:
    """A decision without the names of the packages that spoke, which differ by design."""
    reasons = [each["reason"] if isinstance(each, dict) else each for each in decision["reasons"]]
    return {"effect": decision["effect"], "reasons": sorted(reasons)}
