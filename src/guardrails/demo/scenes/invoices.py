"""Small differences are paid alone, a person is asked about a large one, and then lied to."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

import guardrails as gr
from guardrails.approvals.display import render, short
from guardrails.demo.claims import Claim
from guardrails.demo.stage import Answer, Box

if TYPE_CHECKING:
    from types import ModuleType

    from guardrails.demo.calls import Call
    from guardrails.demo.lab import Lab
    from guardrails.demo.stage import Stage
    from guardrails.model.approval import ApprovalRequest

_AGENT: Final = "invoice-agent"
_PERSON: Final = "kim.tan@acme.example"
_SECONDS: Final = 8.0
_KEYS: Final = "[a]pprove  [r]eject  [t]amper: approve, then change the amount"


def play(number: int, stage: Stage, lab: Lab) -> list[Claim]:
    """Play it; what it claims."""
    example = lab.example("invoice_exceptions")
    owner = lab.governor.register.agent(_AGENT).owner
    stage.heading(
        number,
        "INVOICE EXCEPTIONS",
        f"      owner {owner}   budget ${lab.dollars(_AGENT):.2f}",
    )
    pending = []
    with lab.governor.run(_AGENT):
        for invoice in example.INVOICES:
            mark = lab.mark()
            try:
                example.settle(invoice)
            except gr.ApprovalPending as asked:
                pending.append(lab.approvals.get(asked.request_id))
            except gr.CallDenied:
                pass  # the next invoice; the screen says why
            for call in lab.calls(mark):
                _show(stage, call)
        if not pending:
            stage.line("nobody is asked: the limit is above every amount")
            return []
        return _ask(stage, lab, example, max(pending, key=lambda one: one.args["amount"]))


def _show(stage: Stage, call: Call, note: str = "") -> None:
    args = call.args or {}
    amount = f"${args['amount']:,.2f}" if "amount" in args else ""
    paid = "paid" if call.ran and call.tool == "pay_difference" else ""
    stage.call(call, f"{args.get('invoice', '')!s:<9}{amount:>10}", note or paid)


def _ask(stage: Stage, lab: Lab, example: ModuleType, request: ApprovalRequest) -> list[Claim]:
    group = request.demands[0].approvers[0]
    box = Box(f"You are {group}.", render(request.tool, request.args), _KEYS)
    answer = stage.ask(box, "art", default="t", seconds=_SECONDS)
    if answer.key == "r":
        return _reject(stage, lab, example, request, group, answer)
    lab.approvals.approve(request.id, by=_PERSON, groups={group})
    if answer.key == "a":
        stage.line(*_pressed(answer), f"approved by {_PERSON}")
        claims = []
    else:
        claims = [_tamper(stage, lab, example, request, answer)]
    _show(stage, _pay(lab, example, request.args), f"as {_PERSON.partition('@')[0]} approved")
    again = _pay(lab, example, request.args)
    _show(stage, again, "used once: asked anew")
    return [*claims, Claim("an approval lets one call run, once", not again.ran)]


def _tamper(
    stage: Stage, lab: Lab, example: ModuleType, request: ApprovalRequest, answer: Answer
) -> Claim:
    amount = request.args["amount"]
    changed = _pay(lab, example, {**request.args, "amount": amount * 10})
    verdict = Text("REFUSED" if not changed.ran else "PAID", "bold red")
    stage.line(
        *_pressed(answer),
        f"amount {_short(amount)} -> {_short(amount * 10)}   ",
        verdict,
        f"  approval is for {short(request.call_key, digits=4)}, once",
    )
    stage.pause(2.0)
    return Claim("a call that was changed after its approval does not run", not changed.ran)


def _reject(  # noqa: PLR0913, PLR0917  # what a scene has at hand
    stage: Stage,
    lab: Lab,
    example: ModuleType,
    request: ApprovalRequest,
    group: str,
    answer: Answer,
) -> list[Claim]:
    lab.approvals.reject(request.id, by=_PERSON, groups={group}, reason="not agreed with us")
    stage.line(*_pressed(answer), f"rejected by {_PERSON}")
    call = _pay(lab, example, request.args)
    _show(stage, call, "a person said no")
    return [Claim("a rejected call does not run", not call.ran)]


def _pay(lab: Lab, example: ModuleType, args: Any) -> Call:
    """The call that the agent makes with `args`, whatever comes of it."""
    mark = lab.mark()
    with suppress(gr.Refusal):  # it stands in the record
        example.pay_difference(args["invoice"], Decimal(args["amount"]), args["supplier"])
    return lab.calls(mark)[-1]


def _pressed(answer: Answer) -> tuple[str, Text]:
    return "> ", Text(f"{answer.key}   ", "bold" if answer.by_hand else "bold dim")


def _short(amount: Decimal) -> str:
    return f"{amount:,.2f}".removesuffix(".00")
