"""Values and texts as error messages show them."""

from collections.abc import Iterable


def describe(value: object) -> str:
    """Return the type and the beginning of a value."""
    return f"{type(value).__name__} {shorten(repr(value))}"


def shown_names(fields: Iterable[str]) -> str:
    """Return the names of fields, at most eight of them."""
    names = list(fields)
    return ", ".join(shorten(repr(name)) for name in names[:8]) + (", …" if len(names) > 8 else "")


def shorten(text: str, length: int = 60) -> str:
    """Return a text, or its beginning with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"
