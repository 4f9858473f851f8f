"""``guardrails serve``: people answer approval requests over HTTP. Needs the extra ``server``."""
