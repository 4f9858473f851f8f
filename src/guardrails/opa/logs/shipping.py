"""Sending what the record holds to a log service: at least once, in order, from a kept cursor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guardrails.opa.bundles.schedule import Polling, delay_after_errors
from guardrails.opa.logs.entry import entry_of
from guardrails.opa.logs.masking import masked, rules_of, withheld
from guardrails.opa.logs.packing import SIZE, Packed, Packer
from guardrails.opa.services import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guardrails.opa.logs.place import Place

TOO_LARGE: Final = 413

_log: Final = logging.getLogger("guardrails")


class Source(Protocol):
    """Reads the record."""

    def __call__(self, cursor: str | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The events after `cursor` that are there now, each with the cursor behind it."""
        ...


class Shipped(NamedTuple):
    """What one round came to.

    Attributes:
        entries: Entries that the service took.
        chunks: In how many chunks.
        is_complete: Whether all that was there was taken.
    """

    entries: int
    chunks: int
    is_complete: bool


class Shipper:
    """Sends decisions, from where the last of them was taken.

    Args:
        source: The record.
        post: Sends one chunk; raises :class:`ServiceError` where it was not taken.
        place: Keeps the cursor; entered by whoever uses this.
        labels: Who decided.
        bundles: Gives the revision of each bundle, by its name; None where there are none.
        mask: Gives what ``data.system.log.mask`` says of an entry, None where that is undefined;
            None where no policy masks.
        console: Whether each entry is logged here, too.
        size: Compressed bytes of a chunk.
    """

    def __init__(  # noqa: PLR0913  # what it is made of, by name
        self,
        source: Source,
        post: Callable[[bytes], object],
        place: Place,
        *,
        labels: Mapping[str, str],
        bundles: Callable[[], Mapping[str, str]] | None = None,
        mask: Callable[[Mapping[str, Any]], object] | None = None,
        console: bool = False,
        size: int = SIZE,
    ) -> None:
        self._source = source
        self._post = post
        self._place = place
        self._labels = labels
        self._bundles = bundles
        self._mask = mask
        self._console = console
        self._packer = Packer(size)
        self.errors = 0

    def ship(self) -> Shipped:
        """Send what is there; what the service does not take is left for the next time.

        Raises:
            StateUnavailable: the record or the cursor cannot be used.
        """
        entries = chunks = 0
        try:
            for chunk in self._chunks():
                self._send(chunk)
                entries += chunk.entries
                chunks += 1
        except ServiceError as error:
            self.errors += 1
            # What waits in the packer is read again from the cursor.
            self._packer.forget()
            _log.warning("decision logs were not taken, and will be sent again: %s", error)
            return Shipped(entries, chunks, is_complete=False)
        self.errors = 0
        return Shipped(entries, chunks, is_complete=True)

    def delay(self, polling: Polling, random: Callable[[], float]) -> float:
        """Seconds until the next :meth:`ship`, longer and longer while the service is away."""
        if self.errors:
            return delay_after_errors(self.errors, polling, random)
        return polling.min_delay + (polling.max_delay - polling.min_delay) * random()

    def _chunks(self) -> Iterable[Packed]:
        passed: str | None = None
        for cursor, event in self._source(self._place.read()):
            passed = cursor
            entry = self._entry(event)
            if entry is not None:
                yield from self._packer.add(entry, cursor)
        yield from self._packer.rest()
        if passed is not None:
            # Everything up to there was taken, or is no decision.
            self._place.keep(passed)

    def _entry(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        bundles = None if self._bundles is None else self._bundles()
        entry = entry_of(event, labels=self._labels, bundles=bundles)
        if entry is None or self._mask is None:
            made = entry
        else:
            try:
                said = self._mask(entry)
                made = entry if said is None else masked(entry, rules_of(said))
            except Exception as error:  # noqa: BLE001  # what cannot be masked must not be shown
                _log.warning(
                    "decision %s is sent without input and result, since masking it failed: %s",
                    entry["decision_id"],
                    type(error).__name__,
                )
                made = withheld(entry)
        if made is not None and self._console:
            _log.info("decision log: %s", made)
        return made

    def _send(self, chunk: Packed) -> None:
        try:
            self._post(chunk.body)
        except ServiceError as error:
            if error.http_code != TOO_LARGE:
                raise
            self._packer.refused(chunk)
            for smaller in self._packer.apart(chunk):
                if len(smaller.body) >= len(chunk.body):
                    raise
                self._send(smaller)
            return
        self._place.keep(chunk.upto)
