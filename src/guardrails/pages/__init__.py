"""HTML pages that need nothing else: one style for screen, phone and print, and their plots.

A page's own template stands with what it shows and extends ``page.html``; ``plots.html`` has the
macros. Nothing is loaded, nothing runs, every text is escaped.
"""

from guardrails.pages.plots import bars, columns
from guardrails.pages.rendering import rendered
from guardrails.pages.words import duration, moment, number, shown

__all__ = ["bars", "columns", "duration", "moment", "number", "rendered", "shown"]
