"""The register of agents: who exists, who answers for them, what they may do."""

from guardrails.register.entries import AgentEntry
from guardrails.register.register import Register
from guardrails.register.source import Problem, Source, SourceError

__all__ = ["AgentEntry", "Problem", "Register", "Source", "SourceError"]
