"""The plan of ``main := name(args)``, each argument a constant or a field of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.rego import decoder
from guardrails.rego.values import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego import ir

Raw = dict[str, Any]


def plan_of_call(name: str, arity: int, known: Mapping[int, Any]) -> ir.Policy:
    """The policy; arguments that are not `known` are ``input["0"]``, ``input["1"]`` and so on."""
    strings = ["result", *map(str, range(arity))]
    stmts: list[Raw] = []

    def put(kind: str, **fields: Any) -> None:
        row = len(stmts) + 1
        stmts.append({"type": kind, "stmt": {**fields, "file": 0, "row": row, "col": 1}})

    def text(value: str) -> Raw:
        strings.append(value)
        return {"type": "string_index", "value": len(strings) - 1}

    args: list[Raw] = []
    for place in range(arity):
        local = {"type": "local", "value": 2 + place}
        value = known.get(place)
        if place not in known:
            key = {"type": "string_index", "value": 1 + place}
            put("DotStmt", source={"type": "local", "value": 0}, key=key, target=2 + place)
        elif isinstance(value, str):
            local = text(value)
        else:
            assert value is not None
            index = text(number_text(value))["value"]
            put("MakeNumberRefStmt", Index=index, target=2 + place)
        args.append(local)
    found, made = 2 + arity, 3 + arity
    put("CallStmt", func=name, args=args, result=found)
    put("MakeObjectStmt", target=made)
    key = {"type": "string_index", "value": 0}
    put("ObjectInsertStmt", key=key, value={"type": "local", "value": found}, object=made)
    put("ResultSetAddStmt", value=made)
    document = {
        "static": {
            "strings": [{"value": each} for each in strings],
            "files": [{"value": "calls.rego"}],
        },
        "plans": {"plans": [{"name": "p/main", "blocks": [{"stmts": stmts}]}]},
        "funcs": {"funcs": []},
    }
    return decoder.decode(document, planner="opa")
