"""The demo: the agents of ``examples/`` at work under policy, live in a terminal, or as JSON."""
