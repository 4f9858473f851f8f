"""Bundles that are asked for again and again, and activated together, all or none.

Each bundle has a thread that asks for it. What comes is read, verified, put beside the other
bundles and handed to whoever decides with them; only if that takes it, it becomes the active
one. Whatever is wrong with it, the bundles that decided go on deciding, and the status says why.
"""

from __future__ import annotations

import logging
import random as randomness
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.clock import SystemClock
from guardrails.errors import ConfigError, GuardrailsError, PolicyLoadError
from guardrails.forks import begin_anew
from guardrails.opa.bundle_set import BundleSet
from guardrails.opa.bundles.delta import with_delta
from guardrails.opa.bundles.download import Downloader, FileClient, opened
from guardrails.opa.bundles.schedule import delay_after_errors, delay_after_success
from guardrails.opa.bundles.status import ERROR, BundleStatus
from guardrails.opa.services import ServiceClient, ServiceError
from guardrails.register.source import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardrails.opa.bundles.board import StatusBoard
    from guardrails.opa.bundles.download import BundleSettings, Client, Download
    from guardrails.opa.bundles.persistence import BundleStore
    from guardrails.ports import Clock
    from guardrails.rego.bundle import Bundle

_log: Final = logging.getLogger("guardrails")

_LEAST_GAP: Final = 1.0
"""Seconds between two long polls, however soon the service answers."""

_FINE: Final[dict[str, Any]] = {"code": "", "message": "", "errors": (), "http_code": None}
"""What a status says where nothing is wrong."""

_GRACE: Final = 5.0
"""Seconds that stopping waits for each thread."""


class BundleService:
    """Keeps bundles up to date.

    Args:
        bundles: The bundles; all of them have to be there before any of them decides.
        store: Where those that are to be kept are kept; None to keep none.
        clock: The time.
        random: Gives numbers from 0 to below 1, for the spread of the waits.
        clients: Whom to ask for a bundle instead of its service, by the bundle's name.
        board: Where other processes see how the bundles are; None to show it nowhere.

    Raises:
        ConfigError: A certificate cannot be used, two names are one, or there is no store and a
            bundle is to be kept.
    """

    def __init__(  # noqa: PLR0913  # what it is made of, by name
        self,
        bundles: Sequence[BundleSettings],
        *,
        store: BundleStore | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = randomness.random,
        clients: Mapping[str, Client] | None = None,
        board: StatusBoard | None = None,
    ) -> None:
        self._board = board
        self._clock = clock if clock is not None else SystemClock()
        self._store = store
        self._random = random
        names = [each.name for each in bundles]
        if not names or len(set(names)) != len(names):
            msg = "a bundle service needs bundles, each with a name of its own"
            raise ConfigError(msg)
        if store is None and any(each.persist for each in bundles):
            msg = "a bundle is to be kept (`persist`), and there is no place to keep it"
            raise ConfigError(msg)
        made = {**_clients(bundles, self._clock), **(clients or {})}
        self._downloaders = {each.name: Downloader(each, made[each.name]) for each in bundles}
        self._status = {each.name: BundleStatus(each.name) for each in bundles}
        self._errors = dict.fromkeys(self._status, 0)
        self._found: dict[str, Bundle] = {}
        self._digests: dict[str, str] = {}
        self._to_keep: dict[str, bytes] = {}
        self._active: BundleSet | None = None
        self._activate: Callable[[BundleSet], object] = _nobody
        self._activating = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        begin_anew(self._after_fork)

    @property
    def active(self) -> BundleSet | None:
        """The bundles that decide now; None where none do."""
        return self._active

    def status(self) -> dict[str, BundleStatus]:
        """How each bundle is."""
        return dict(self._status)

    def start(self, activate: Callable[[BundleSet], object], *, patience: float = 0.0) -> None:
        """Activate the bundles: those on disk first, then what the service has; then keep asking.

        Args:
            activate: Decides with a set from now on, or raises :class:`PolicyLoadError`.
            patience: Seconds to go on trying where nothing can be activated.

        Raises:
            PolicyLoadError: Nothing could be activated; the message says why of each bundle.
        """
        self._activate = activate
        self._from_disk()
        until = self._clock.monotonic() + patience
        delays = {name: self.poll(name) for name in self._downloaders}
        while self._active is None:
            failed = [name for name, errors in self._errors.items() if errors]
            pause = min((delays[name] for name in failed), default=_LEAST_GAP)
            if self._clock.monotonic() + pause > until or self._stop.wait(pause):
                said = "; ".join(
                    f"{name}: {each.message or 'waits for the others'}"
                    for name, each in self._status.items()
                )
                raise PolicyLoadError(f"no bundle could be activated: {said}")
            delays.update({name: self.poll(name) for name in failed})
        self._ask_after(delays)

    def poll(self, name: str) -> float:
        """Ask for a bundle once, and activate it if it is new; the seconds until the next time.

        Whatever goes wrong stands in the status, and nothing is raised.
        """
        downloader = self._downloaders[name]
        began = self._clock.monotonic()
        self._set(name, last_request=self._clock.now_ns())
        try:
            download = downloader.fetch(deltas=self._active is not None)
            asked = self._status[name].last_request
            self._set(name, last_successful_request=asked)
            if download is not None:
                kind = "delta" if download.bundle.is_delta else "snapshot"
                self._set(name, last_successful_download=asked, type=kind)
                self._take(name, download)
            else:
                self._set(name, **_FINE)
        except Exception as error:  # noqa: BLE001  # a thread's end: the old bundles go on deciding
            return self._failed(name, error)
        self._errors[name] = 0
        if downloader.is_long_polling:
            return max(0.0, _LEAST_GAP - (self._clock.monotonic() - began))
        return self._next(name)

    def stop(self) -> None:
        """Ask for nothing any more and activate nothing; the bundles that decide go on deciding."""
        self._stop.set()
        with self._activating:
            pass  # an activation that has begun ends first
        for downloader in self._downloaders.values():
            downloader.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_GRACE)
        if self._board is not None:
            self._board.close()

    def _after_fork(self) -> None:
        """Ask in the child, too: the threads that did are the parent's, as may be the lock."""
        was_asking = bool(self._threads) and not self._stop.is_set()
        self._activating = threading.Lock()
        self._threads = []
        if was_asking:
            self._stop = threading.Event()
            self._ask_after({name: self._next(name) for name in self._downloaders})

    def _ask_after(self, delays: Mapping[str, float]) -> None:
        for name, delay in delays.items():
            thread = threading.Thread(
                target=self._keep_asking, args=(name, delay), name=f"bundle {name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _next(self, name: str) -> float:
        """Seconds until a bundle is asked for again that nothing is known to be wrong with."""
        downloader = self._downloaders[name]
        if downloader.is_long_polling:
            return _LEAST_GAP
        return delay_after_success(downloader.settings.polling, self._random)

    def _keep_asking(self, name: str, delay: float) -> None:
        self._show()
        while not self._stop.wait(delay):
            delay = self.poll(name)
            self._show()

    def _show(self) -> None:
        if self._board is not None:
            self._board.post(self.status, self._clock.now_ns())

    def _take(self, name: str, download: Download) -> None:
        """Activates a new bundle, or holds it until all the others are there.

        Raises:
            PolicyLoadError: It cannot be activated, and the old one goes on.
        """
        with self._activating:
            if self._stop.is_set():
                return
            is_known = self._digests.get(name) == download.digest
            if not (is_known and self._status[name].is_active):
                self._put(name, download)
            self._downloaders[name].etag = download.etag if self._active is not None else ""
            self._set(name, **_FINE)
            if self._active is not None:
                self._keep_all()

    def _put(self, name: str, download: Download) -> None:
        bundle = download.bundle
        if bundle.is_delta:
            if not self._status[name].is_active:
                msg = "changes came, and nothing is there that they could change"
                raise PolicyLoadError(msg, file=name)
            bundle = with_delta(self._found[name], bundle)
        found = {**self._found, name: bundle}
        try:
            if len(found) == len(self._downloaders):
                self._activate_all(found, {name: download.bundle})
        except Exception:
            # Where nothing decides yet, the next one to come may be what this one needs.
            if self._active is None:
                self._hold(name, bundle, download)
            raise
        self._hold(name, bundle, download)
        self._set(name, origin="service")

    def _hold(self, name: str, bundle: Bundle, download: Download) -> None:
        self._found = {**self._found, name: bundle}
        # A delta has no digest: the bundle that comes after it is new, whatever it is.
        self._digests[name] = "" if download.bundle.is_delta else download.digest
        if download.content and self._store is not None:
            self._to_keep[name] = download.content

    def _activate_all(self, found: dict[str, Bundle], new: Mapping[str, Bundle]) -> None:
        bundles = BundleSet.of(found)
        self._activate(bundles)
        first = self._active is None
        self._active = bundles
        at = self._clock.now_ns()
        for name, bundle in found.items():
            if first or name in new:
                self._set(
                    name,
                    active_revision=bundle.manifest.revision,
                    last_successful_activation=at,
                    size=sum(new.get(name, bundle).sizes.values()),
                    **_FINE,
                )

    def _from_disk(self) -> None:
        """Takes what was kept and is sound, and activates it where that is all there is."""
        for name, downloader in self._downloaders.items():
            try:
                kept = self._kept(downloader.settings)
            except Exception as error:  # noqa: BLE001  # a broken file: the service is asked
                self._failed(name, error)
                continue
            if kept is None:
                continue
            self._found[name] = kept.bundle
            self._digests[name] = kept.digest
            self._set(name, origin="disk", type="snapshot")
        if len(self._found) < len(self._downloaders):
            return
        try:
            with self._activating:
                self._activate_all(self._found, self._found)
        except Exception as error:  # noqa: BLE001  # as above
            for name in self._found:
                self._failed(name, error)

    def _kept(self, settings: BundleSettings) -> Download | None:
        """The bundle that was kept, verified anew; None where none was.

        Raises:
            PolicyLoadError: It is not sound.
        """
        if self._store is None or not settings.persist:
            return None
        content = self._store.read(settings.name, settings.limits)
        if content is None:
            return None
        kept = opened(content, settings)
        if kept.bundle.is_delta:
            msg = "changes of a bundle were kept, and no bundle"
            raise PolicyLoadError(msg, file=settings.name)
        return kept

    def _keep_all(self) -> None:
        """Keeps the bundles that were activated. If that fails, they are active all the same."""
        store = self._store
        while store is not None and self._to_keep:
            name, content = self._to_keep.popitem()
            try:
                store.write(name, content)
            except PolicyLoadError as error:
                self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> float:
        """Notes what went wrong; the seconds until the next try."""
        # What a bundle holds may stand in it: no line or escape of its own gets into a log.
        whole = str(error) if isinstance(error, GuardrailsError) else repr(error)
        said, *more = map(printable, whole.split("\n"))
        before = self._status[name].message
        has_place = isinstance(error, PolicyLoadError) and error.row is not None
        self._set(
            name,
            code=ERROR,
            message=said,
            errors=("\n".join((said, *more)),) if has_place else (),
            http_code=error.http_code if isinstance(error, ServiceError) else None,
        )
        if said != before:
            _log.warning("the bundle `%s` was not activated: %s", name, said)
        self._errors[name] += 1
        polling = self._downloaders[name].settings.polling
        return delay_after_errors(self._errors[name], polling, self._random)

    def _set(self, name: str, **changes: Any) -> None:
        self._status[name] = replace(self._status[name], **changes)


def _clients(bundles: Sequence[BundleSettings], clock: Clock) -> dict[str, Client]:
    """Whom to ask for each bundle; bundles of one service share a client."""
    services: dict[str, ServiceClient] = {}
    found: dict[str, Client] = {}
    for each in bundles:
        if each.file is not None:
            found[each.name] = FileClient(each.file, each.limits)
        elif each.service is not None:
            name = each.service.name
            if name not in services:
                services[name] = ServiceClient(each.service, clock)
            found[each.name] = services[name]
    return found


def _nobody(_bundles: BundleSet) -> None:
    msg = "nobody decides with the bundles yet"
    raise PolicyLoadError(msg)


__all__ = ["BundleService"]
