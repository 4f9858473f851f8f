"""A document with each number in its plain form: the same values, in the one way to write them.

OPA 1.20 compares numbers by their texts and errs on some: ``4180.00 <= 1000.5`` holds there, and
``0.0`` makes it hang up. Written plainly, as ``4180`` and ``0``, it does not err. So an OPA that
answers otherwise once the numbers are plain has contradicted itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from guardrails.model.canonical import number_text


def plainly_numbered(document: Any) -> Any:
    """A copy of a JSON document: whole numbers as ``int``, others without an exponent or end zeros.

    Raises:
        NotExactJSON: a number is not finite, or needs more than 4,000 characters.
    """
    if isinstance(document, dict):
        return {key: plainly_numbered(value) for key, value in document.items()}
    if isinstance(document, list):
        return [plainly_numbered(value) for value in document]
    if isinstance(document, Decimal):
        text = number_text(document)
        return Decimal(text) if "." in text else int(text)
    return document
