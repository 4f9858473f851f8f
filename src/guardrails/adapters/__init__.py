"""Guardrails inside the hosts that agents run in: a package or module and an extra for each."""
