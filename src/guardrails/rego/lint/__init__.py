"""``guardrails policy check``: what is wrong with policy sources, with its place and its mend.

A check is a function from one module and what is known of the others to its findings;
:data:`CHECKS` lists them, a family a file. They read the sources as
:mod:`~guardrails.rego.lint.terms` has them. Beside them stand what the planner and OPA's
compiler refuse, and what :mod:`guardrails.rego.analysis` finds in the plan.
"""

from __future__ import annotations

from guardrails.rego.lint.finding import Finding
from guardrails.rego.lint.gate import CHECKS, lint

__all__ = ["CHECKS", "Finding", "lint"]
