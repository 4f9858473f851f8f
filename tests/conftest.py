"""How hypothesis searches: the same sample every time, or, with GUARDRAILS_SOAK=1, far and wide."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow]

settings.register_profile("sample", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("soak", max_examples=2_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("soak" if os.environ.get("GUARDRAILS_SOAK") == "1" else "sample")
