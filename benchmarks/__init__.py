"""How long a decision takes, beside hand-written Python and beside other engines.

``python -m benchmarks`` runs everything; docs/benchmarks.md says how to read it.
"""
