"""A fault of ledger or record as the refusal that it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from guardrails.errors import GuardrailsError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def state_faults(what: str, run_id: str) -> Iterator[None]:
    """A context in which every error that is none of this package's becomes a refusal.

    Raises:
        StateUnavailable: there was one; the message begins with `what`.
    """
    try:
        yield
    except GuardrailsError:
        raise
    except Exception as error:  # the boundary of ledger and record: a fault refuses
        raise StateUnavailable(f"{what}: {error}", run_id=run_id) from error
