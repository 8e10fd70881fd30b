"""Tables in Markdown, and numbers in them."""

import math
from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as a table shows it: a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def with_interval(value: float, interval: tuple[float, float], sign: str = "") -> str:
    """Return a number with its interval in brackets; `sign="+"` writes the sign of positive ones, too."""
    low, high = (f"{bound:{sign}.3f}" for bound in interval)
    return f"{value:{sign}.3f} ({low} to {high})"
