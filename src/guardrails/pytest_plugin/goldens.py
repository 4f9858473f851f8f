"""Golden decisions of a test: the file beside it, compared, and written where that is asked for."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError
from guardrails.pytest_plugin.projects import near
from guardrails.testing import golden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pytest

    from guardrails.testing.verdict import Verdict

FOLDER: Final = "__golden__"
"""The folder beside a test module in which its golden files are, a folder each module."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST: Final = 80


class Golden:
    """Compares decisions with the golden file of one test; call it.

    Args:
        request: The test's.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._used: set[Path] = set()

    def path(self, name: str = "") -> Path:
        """The golden file of that name; each test has its own."""
        node = self._request.node
        above = node.nodeid.partition("::")[2].replace("::", ".")
        stem = _safe(f"{above}.{name}" if name else above)
        return self._request.path.parent / FOLDER / self._request.path.stem / f"{stem}.yaml"

    def __call__(
        self, verdicts: Iterable[Verdict] | Mapping[str, Verdict], *, name: str = ""
    ) -> None:
        """Assert that these decisions are those of the golden file.

        Args:
            verdicts: What `governed.decide(…)` gave; a mapping from names where one call stands
                among them in several situations.
            name: Tells the files of one test apart.

        Raises:
            AssertionError: something is decided otherwise, or there is no golden file.
            ConfigError: there are no decisions, or the file cannot be read or written.
        """
        __tracebackhide__ = True
        path = self.path(name)
        if path in self._used:
            msg = f"{path.name} was compared in this test already; give each comparison a `name`"
            raise ConfigError(msg)
        self._used.add(path)
        now = golden.text_of(verdicts)
        before = golden.read(path)
        shown = near(path, self._request.config)
        if self._request.config.getoption("--guardrails-update"):
            if before != now:
                golden.write(path, now)
                self._request.node.user_properties.append(("guardrails.golden", shown))
            return
        if before is None:
            msg = (
                f"there are no golden decisions at {shown}. These are decided now; where they are"
                f" right, write them with `pytest --guardrails-update` and commit the file:\n{now}"
            )
            raise AssertionError(msg)
        changed = golden.difference(before, now)
        if changed is not None:
            msg = (
                f"decisions are not those of {shown}\n{changed}\nWhere that is right, write them"
                " with `pytest --guardrails-update`, and let somebody review the difference"
            )
            raise AssertionError(msg)


def _safe(name: str) -> str:
    """`name` as a file's, no other's."""
    plain = _UNSAFE.sub("_", name)[:_LONGEST]
    # Names that differ only in what is replaced, or in the case of letters where files do not.
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return plain if plain == name and plain.islower() else f"{plain}-{digest}"
