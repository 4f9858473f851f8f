"""What goes wrong in compiled functions, as an error at a place in the policy.

A call into a compiled policy is a boundary: what comes out of it is a value or an
:class:`~guardrails.errors.EvaluationError`. The functions that are called from outside catch
what arises in them themselves, which costs nothing while nothing does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.emit.artefact import Function

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from guardrails.rego.emit.artefact import Artefact

FAULT: Final = "FAULT"
"""The name under which a guarded function finds :meth:`Faults.error`."""

CAUGHT: Final = {"Exception": Exception}
"""What a guarded function catches, by the name that it has there."""

_NOWHERE: Final = (-1, 0)


def guarded(function: Function) -> Function:
    """The function of a plan, for a call from outside.

    It takes the input alone; the context and the data may be given behind it.
    """
    head, *body = function.text.splitlines()
    lines = [
        head.replace("(i0, d0, c0)", "(i0, c0=None, d0=None)"),
        " try:",
        *(f" {line}" for line in body),
        " except Exception as x0:",
        f"  raise {FAULT}(x0) from x0",
    ]
    rows = (function.rows[0], _NOWHERE, *function.rows[1:], _NOWHERE, _NOWHERE)
    return Function(function.name, "\n".join(lines) + "\n", rows)


@final
@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Faults:
    """Tells of errors where in the policy they arose.

    Attributes:
        artefact: The compiled policy.
        functions: Its functions by the names that Python knows their sources by.
    """

    artefact: Artefact
    functions: Mapping[str, Function]

    def place(self, file: str, line: int) -> ir.Location | None:
        """The place in the policy of a line of Python; None if it is not of this program."""
        function = self.functions.get(file)
        return None if function is None else self.artefact.place(function, line)

    def error(self, error: Exception) -> EvaluationError:
        """What an error inside the functions is to who asked: one at a place in the policy."""
        where = self._arose(error.__traceback__)
        if isinstance(error, EvaluationError):
            if error.file is not None:
                return error
            return EvaluationError(error.code, error.message, file=where.file, row=where.row)
        if isinstance(error, BuiltinError):
            return EvaluationError(error.code, str(error), file=where.file, row=where.row)
        code, message = _fault(error)
        return EvaluationError(code, message, file=where.file, row=where.row)

    def _arose(self, traceback: TracebackType | None) -> ir.Location:
        found = ir.NOWHERE
        while traceback is not None:
            if traceback.tb_lineno is not None:
                file = traceback.tb_frame.f_code.co_filename
                found = self.place(file, traceback.tb_lineno) or found
            traceback = traceback.tb_next
        return found


def _fault(error: Exception) -> tuple[str, str]:
    """The code and message of a lack of room, or of what no policy should be able to cause."""
    if isinstance(error, RecursionError):
        limit = sys.getrecursionlimit()
        message = f"the evaluation is nested deeper than Python's stack allows ({limit} frames)"
        return "eval_limit_error", message
    if isinstance(error, MemoryError):
        return "eval_limit_error", "the evaluation needs more memory than there is"
    message = f"the evaluation failed inside: {type(error).__name__}: {error}"
    return "eval_internal_error", message
