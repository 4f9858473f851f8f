"""Who waits for a request to be answered: threads and tasks of this process."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Waiting:
    """Sleepers by the request that they wait for. Every method may be called from any thread."""

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sleepers: dict[str, set[Callable[[], None]]] = {}

    def __len__(self) -> int:
        """How many requests somebody waits for."""
        return len(self._sleepers)

    def nap(self, key: str, seconds: Callable[[], float]) -> None:
        """Sleep until :meth:`wake` of `key`, or for so many seconds.

        Args:
            key: What is waited for.
            seconds: Asked once this sleeper would be woken; 0 or less not to sleep. So
                what happens between the question and the sleep is not missed.
        """
        woken = threading.Event()
        self._add(key, woken.set)
        try:
            for_ = seconds()
            if for_ > 0:
                woken.wait(for_)
        finally:
            self._remove(key, woken.set)

    async def nap_async(self, key: str, seconds: Callable[[], float]) -> None:
        """The same without blocking the event loop."""
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        self._add(key, wake)
        try:
            for_ = seconds()
            if for_ > 0:
                async with asyncio.timeout(for_):
                    await woken.wait()
        except TimeoutError:
            return
        finally:
            self._remove(key, wake)

    def wake(self, key: str) -> None:
        """Wake everybody who waits for `key`."""
        with self._lock:
            sleepers = self._sleepers.pop(key, set())
        for wake in sleepers:
            try:
                wake()
            except RuntimeError:
                # The sleeper's event loop is closed: nobody is left to wake.
                continue

    def _add(self, key: str, wake: Callable[[], None]) -> None:
        with self._lock:
            self._sleepers.setdefault(key, set()).add(wake)

    def _remove(self, key: str, wake: Callable[[], None]) -> None:
        with self._lock:
            sleepers = self._sleepers.get(key)
            if sleepers is not None:
                sleepers.discard(wake)
                if not sleepers:
                    del self._sleepers[key]
