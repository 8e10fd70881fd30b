"""Tables in Markdown, and numbers in them."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as a table shows it: a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"
