"""Sending what the record holds to a log service: at least once, in order, from a kept cursor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guardrails.errors import GuardrailsError, PolicyLoadError, StateUnavailable
from guardrails.opa.bundles.schedule import delay_after_errors, delay_after_success
from guardrails.opa.logs.entry import entry_of
from guardrails.opa.logs.masking import masked, rules_of, withheld
from guardrails.opa.logs.packing import SIZE, Packed, Packer
from guardrails.opa.services import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guardrails.opa.bundles.schedule import Polling
    from guardrails.opa.logs.place import Place

TOO_LARGE: Final = 413

_log: Final = logging.getLogger("guardrails")


class Source(Protocol):
    """Reads the record."""

    def __call__(self, cursor: str | None) -> Iterable[tuple[object, Mapping[str, Any]]]:
        """The events after `cursor` that are there now, each with the cursor behind it.

        A cursor is kept as the text that ``str`` makes of it.
        """
        ...


class Shipped(NamedTuple):
    """What one round came to.

    Attributes:
        entries: Entries that were taken.
        chunks: In how many chunks.
        is_complete: Whether all that was there was taken.
        problem: Why not; None where nothing is wrong.
    """

    entries: int
    chunks: int
    is_complete: bool
    problem: GuardrailsError | None = None


class Shipper:
    """Sends decisions, from where the last of them was taken.

    Args:
        source: The record.
        send: Hands on one chunk; raises :class:`ServiceError` where it was not taken.
        place: Keeps the cursor; entered by whoever uses this.
        labels: Who decided.
        bundles: The names of the bundles that policies come from.
        mask: Gives what ``data.system.log.mask`` says of an entry, None where that is undefined;
            None where no policy masks.
        wanted: Whether an event's decision is to be sent; None to send all.
        size: Compressed bytes of a chunk.
    """

    def __init__(  # noqa: PLR0913  # what it is made of, by name
        self,
        source: Source,
        send: Callable[[Packed], object],
        place: Place,
        *,
        labels: Mapping[str, str],
        bundles: Sequence[str] = (),
        mask: Callable[[Mapping[str, Any]], object] | None = None,
        wanted: Callable[[Mapping[str, Any]], bool] | None = None,
        size: int = SIZE,
    ) -> None:
        self._source = source
        self._send_chunk = send
        self._place = place
        self._labels = labels
        self._bundles = bundles
        self._mask = mask
        self._wanted = wanted
        self._packer = Packer(size)
        self._unmasked = False
        self.errors = 0

    def ship(self, go_on: Callable[[], bool] = lambda: True) -> Shipped:
        """Send what is there; what is not taken is left for the next time.

        Args:
            go_on: Asked before each chunk; False leaves the rest for the next time.
        """
        entries = chunks = 0
        self._packer.forget()  # what an earlier round left in it is read again from the cursor
        try:
            for chunk in self._chunks():
                if not go_on():
                    return Shipped(entries, chunks, is_complete=False)
                self._send(chunk)
                entries += chunk.entries
                chunks += 1
        except (ServiceError, StateUnavailable) as error:
            self.errors += 1
            if self.errors == 1:
                _log.warning("decision logs are not sent, and will be tried again: %s", error)
            return Shipped(entries, chunks, is_complete=False, problem=error)
        if self.errors:
            _log.warning("decision logs are sent again")
        self.errors = 0
        return Shipped(entries, chunks, is_complete=True)

    def delay(self, polling: Polling, random: Callable[[], float]) -> float:
        """Seconds until the next :meth:`ship`, longer and longer while nothing is taken."""
        if self.errors:
            return delay_after_errors(self.errors, polling, random)
        return delay_after_success(polling, random)

    def _chunks(self) -> Iterable[Packed]:
        passed: object = None
        for cursor, event in self._source(self._place.read()):
            passed = cursor
            entry = self._entry(event)
            if entry is not None:
                yield from self._packer.add(entry, cursor)
        yield from self._packer.rest()
        if passed is not None:
            # Everything up to there was taken, or is no decision.
            self._place.keep(str(passed))
        else:
            self._place.touch()

    def _entry(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        if self._wanted is not None and not self._wanted(event):
            return None
        entry = entry_of(event, labels=self._labels, bundles=self._bundles)
        if entry is None or self._mask is None:
            return entry
        try:
            said = self._mask(entry)
            made = entry if said is None else masked(entry, rules_of(said))
        except Exception as error:  # noqa: BLE001  # what cannot be masked must not be shown
            if not self._unmasked:
                _log.error(
                    "decisions are sent without input and result, since masking them fails: %s",
                    error if isinstance(error, PolicyLoadError) else type(error).__name__,
                )
            self._unmasked = True
            return withheld(entry)
        self._unmasked = False
        return made

    def _send(self, chunk: Packed) -> None:
        try:
            self._send_chunk(chunk)
        except ServiceError as error:
            if error.http_code != TOO_LARGE:
                raise
            self._packer.refused(chunk)
            for smaller in self._packer.apart(chunk):
                if len(smaller.body) >= len(chunk.body):
                    raise
                self._send(smaller)
            return
        self._place.keep(str(chunk.upto))
