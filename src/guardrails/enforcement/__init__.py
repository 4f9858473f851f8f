"""One governed call, from its arguments to its outcome.

`phases` holds the order and the fail-closed rule, and does no I/O; `invoke` is
the thin sync and async shell around it; `tools` makes governed functions.
"""
