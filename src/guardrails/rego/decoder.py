"""From a ``plan.json`` document to checked nodes: every later stage trusts what is made here.

Two planners write plans: OPA itself, and regopy (rego-cpp). Their dialects differ, and
:func:`decode` evens that out:

| | OPA | regopy |
|---|---|---|
| number by reference | ``Index`` | ``index`` |
| first part of a dynamic call's path | ``g0`` | ``data`` |
| its arguments | bare locals | operands |
| static strings | as they are | with JSON escapes, with or without the outer quotes |
| ``file``, ``row``, ``col`` | always, from 1 | sometimes absent, from 0 |
| locals | numbered per function | numbered through the whole plan |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego import ir
from guardrails.rego.plan_reader import PlanReader, kind_of
from guardrails.rego.statements import StatementDecoder

if TYPE_CHECKING:
    from guardrails.rego.plan_reader import Raw

PLANNERS: Final = ("opa", "regopy")


def decode(document: object, *, planner: str | None = None, origin: str = "plan") -> ir.Policy:
    """The policy that `document` describes, or an error that names the place in it.

    Args:
        document: What a JSON decoder makes of ``plan.json``.
        planner: ``opa`` or ``regopy``; None to tell by the document.
        origin: What errors call the document.

    Raises:
        PolicyLoadError: The document is no plan that can be run.
    """
    if planner is None:
        planner = _detect(document)
    if planner not in PLANNERS:
        msg = f"unknown planner `{planner}`; the planners are `opa` and `regopy`"
        raise PolicyLoadError(msg, file=origin)
    try:
        return _Decoder(PlanReader(planner, origin)).policy(document)
    except RecursionError:
        msg = "the plan is nested deeper than Python's stack allows here"
        raise PolicyLoadError(msg, file=origin) from None


class _Decoder:
    """Decodes one document."""

    def __init__(self, reader: PlanReader) -> None:
        self.reader = reader
        self.arities: dict[str, int] = {}
        self.paths: dict[tuple[str, ...], str] = {}

    def policy(self, document: object) -> ir.Policy:
        reader = self.reader
        root = reader.mapping(document)
        reader.read_static(reader.mapping(reader.need(root, "static"), "static"))
        raw_functions = reader.listing(reader.mapping(root.get("funcs") or {}, "funcs"), "funcs")
        raw_plans = reader.listing(reader.mapping(reader.need(root, "plans"), "plans"), "plans")
        for number, raw in enumerate(raw_functions):
            reader.place = [f"funcs.funcs[{number}]"]
            self.declare(reader.mapping(raw))
        functions: dict[str, ir.Function] = {}
        for number, raw in enumerate(raw_functions):
            reader.place = [f"funcs.funcs[{number}]"]
            function = self.function(raw)
            functions[function.name] = function
        plans: dict[str, ir.Plan] = {}
        for number, raw in enumerate(raw_plans):
            reader.place = [f"plans.plans[{number}]"]
            plan = self.plan(reader.mapping(raw))
            if plan.name in plans:
                reader.fail(f"there are two plans `{plan.name}`")
            plans[plan.name] = plan
        by_path = {function.path: function for function in functions.values()}
        return ir.Policy(plans, functions, by_path, tuple(reader.files), reader.planner)

    def declare(self, raw: Raw) -> None:
        """Note a function's name and number of parameters, before any call is decoded."""
        reader = self.reader
        name = reader.string(raw, "name")
        if name in self.arities:
            reader.fail(f"there are two functions `{name}`")
        self.arities[name] = len(reader.listing(raw, "params"))
        path = self.path(raw)
        if path in self.paths:
            reader.fail(f"`{name}` and `{self.paths[path]}` have the same path")
        self.paths[path] = name

    def path(self, raw: Raw) -> tuple[str, ...]:
        parts = self.reader.listing(raw, "path")
        if not parts:
            self.reader.fail("a function's `path` is empty")
        for part in parts:
            if type(part) is not str:
                self.reader.fail(f"a part of `path` is {kind_of(part)}; a string is needed")
        return tuple(map(self.reader.text, parts))

    def function(self, raw: Raw) -> ir.Function:
        reader = self.reader
        params = [reader.local_number(item, "params") for item in reader.listing(raw, "params")]
        if params[:2] != [ir.INPUT, ir.DATA] or len(set(params)) != len(params):
            reader.fail("`params` must start with 0 (input) and 1 (data) and name no local twice")
        reader.local_number(reader.need(raw, "return"), "return")
        frame = StatementDecoder(reader, self.arities, tuple(params), function=True)
        blocks = frame.whole(raw)
        return ir.Function(
            name=raw["name"],
            path=self.path(raw),
            params=tuple(range(len(params))),
            blocks=blocks,
            locals=len(frame.numbers),
            where=_first_location(blocks),
        )

    def plan(self, raw: Raw) -> ir.Plan:
        name = self.reader.string(raw, "name")
        frame = StatementDecoder(self.reader, self.arities, (ir.INPUT, ir.DATA), function=False)
        blocks = frame.whole(raw)
        return ir.Plan(name, blocks, len(frame.numbers))


def _detect(document: object) -> str:
    """Which planner wrote `document`: OPA places every statement, regopy not its first one."""
    try:
        plan = document["plans"]["plans"][0]  # type: ignore[index]  # whatever fails says `opa`
        first = plan["blocks"][0]["stmts"][0]["stmt"]
    except (TypeError, LookupError):
        return "opa"
    return "opa" if type(first) is dict and "file" in first else "regopy"


def _first_location(blocks: tuple[ir.Body, ...]) -> ir.Location:
    return next((s.where for s in ir.statements(blocks) if s.where.file is not None), ir.NOWHERE)
