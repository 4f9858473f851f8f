"""regorus: Rego interpreted in Rust. Its wheel has another distribution's name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers.plain import plain
from benchmarks.policies.reference import ENTRYPOINT
from benchmarks.variant import NotThereError, Variant, variant

if TYPE_CHECKING:
    from benchmarks.policies.policy import Policy

NAME: Final = "regorus"
DISTRIBUTION: Final = "gordon-to-regorus"
_RULE: Final = "data." + ENTRYPOINT.replace("/", ".")


def regorus(policy: Policy) -> Variant:
    """Policies and data loaded once; each call gets its input as a dictionary, not as text.

    Raises:
        NotThereError: it is not installed.
    """
    try:
        engine = import_module("regorus").Engine()
    except ImportError as error:
        raise NotThereError(f"{DISTRIBUTION} is not installed: {error}") from error
    for name, text in policy.modules.items():
        engine.add_policy(name, text)
    engine.add_data(plain(policy.data))

    def decide(input: Any) -> Any:
        engine.set_input(input)
        return engine.eval_rule(_RULE)

    return variant(NAME, decide, prepare=plain, remark="floats for decimals, converted before")
