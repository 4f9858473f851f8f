"""The compiler: plans become functions of Python.

:mod:`~guardrails.rego.emit.unit` leads: it writes each function by a walk through the plan
(``walk``, ``statements`` and what they use), makes it shorter (``simplify``) and cuts it up
(``outline``). What is left (``program``) becomes text (``render``), an artefact that can be kept
(``artefact``), and functions that run (``linking``), which call ``runtime``.
"""
