"""Rego in Python: OPA's planned policies, loaded, checked and evaluated in the process.

A :class:`Program` is made of OPA's intermediate representation (``opa build -t plan``), or of
Rego modules that a planner turns into it. It evaluates an entrypoint for an input and gives
plain Python values; :data:`UNDEFINED` stands for no value. The package needs nothing of the
rest of ``guardrails`` but its errors.
"""

from __future__ import annotations

from guardrails.rego.program import Program
from guardrails.rego.values import UNDEFINED

__all__ = ["UNDEFINED", "Program"]
