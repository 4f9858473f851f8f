"""Which OPA may decide: from 1.17 on, whose ``not`` means what the policies mean by it."""

from __future__ import annotations

import re
from typing import Final

LEAST: Final = (1, 17)
"""The oldest OPA with ``future.keywords.not``; an older one reads some denials as undefined."""

_SHAPE: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:[.+-].*)?", re.ASCII)


def objection(version: str) -> str | None:
    """Why an OPA of this version may not decide; None if it may."""
    wanted = ".".join(map(str, LEAST))
    if not version:
        return f"the server does not tell its version, which has to be {wanted} or later"
    found = _SHAPE.fullmatch(version)
    if found is None:
        return f"`{version}` is no version of OPA; {wanted} or later is needed"
    if (int(found[1]), int(found[2])) < LEAST:
        return f"OPA {version} is too old; {wanted} or later is needed"
    return None
