"""The reference policies, each beside hand-written Python that decides the same."""
