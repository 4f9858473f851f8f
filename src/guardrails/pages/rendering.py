"""Templates, rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from guardrails.pages.words import duration, moment, number, shown

if TYPE_CHECKING:
    from collections.abc import Callable


def rendered(package: str, template: str, **given: Any) -> str:
    """A page.

    Args:
        package: The package in whose ``templates`` the page's own template is.
        template: Its name; it extends ``page.html``.
        given: What it shows. Every text is escaped.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("guardrails.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "shown": shown,
        "moment": moment,
        "day": lambda ns: moment(ns)[:10],
        "number": number,
        "duration": duration,
    }
    environment.filters |= filters
    return environment.get_template(template).render(given)


__all__ = ["rendered"]
