"""regopy: Rego in C++, its bundle of compiled instructions queried by entrypoint."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers.plain import plain
from benchmarks.policies.reference import ENTRYPOINT
from benchmarks.variant import NotThereError, Variant, variant

if TYPE_CHECKING:
    from benchmarks.policies.policy import Policy

NAME: Final = "regopy bundle"


def regopy(policy: Policy) -> Variant:
    """The bundle built once; each call sets its input and queries the bundle.

    Raises:
        NotThereError: it is not installed.
    """
    try:
        module = import_module("regopy")
    except ImportError as error:
        raise NotThereError(f"regopy is not installed: {error}") from error
    interpreter = module.Interpreter()
    interpreter.add_data(plain(policy.data))
    for name, text in policy.modules.items():
        interpreter.add_module(name, text)
    bundle = interpreter.build("data." + ENTRYPOINT.replace("/", "."), [ENTRYPOINT])

    def decide(input: Any) -> Any:
        interpreter.set_input(input)
        return interpreter.query_bundle_entrypoint(bundle, ENTRYPOINT).results[0].expressions[0]

    return variant(NAME, decide, prepare=plain, remark="floats for decimals, converted before")
