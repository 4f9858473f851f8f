"""Imports the host first, with the warnings of its own imports let pass."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tests.adapters.crewai.agent  # noqa: F401  # which imports all of the host
