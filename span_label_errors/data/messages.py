"""Values and texts as error messages show them."""

import unicodedata
from collections.abc import Iterable

_SHOWN = 60  # characters


def describe(value: object) -> str:
    """Return the type and the beginning of a value."""
    return f"{type(value).__name__} {shorten(repr(value))}"


def shown_names(fields: Iterable[str]) -> str:
    """Return the names of fields, at most eight of them."""
    names = list(fields)
    return ", ".join(shorten(repr(name)) for name in names[:8]) + (", …" if len(names) > 8 else "")


def shorten(text: str, length: int = _SHOWN) -> str:
    """Return a text, or its beginning with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def first_difference(expected: str, found: str) -> int:
    """Return the offset of the first character that two texts do not share; the shorter length if they share it all."""
    pairs = enumerate(zip(expected, found, strict=False))
    return next((offset for offset, (a, b) in pairs if a != b), min(len(expected), len(found)))


def code_point(text: str, offset: int) -> str:
    """Return the character at an offset as "U+00A0 NO-BREAK SPACE"; "the end" behind the last."""
    if offset >= len(text):
        return "the end"
    return f"U+{ord(text[offset]):04X} {unicodedata.name(text[offset], 'without a name')}"


def is_unicode(text: str) -> bool:
    """Return whether a text can be written: half of a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unicode_form(text: str) -> str:
    """Return which Unicode form a text has, "NFC", "NFD" or "neither"; "NFC" if both."""
    return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, text)), "neither")


def shorten_around(text: str, offset: int) -> str:
    """Return a text, or what stands around an offset in it, with an ellipsis where something is left out."""
    start = max(0, offset - _SHOWN // 2)
    return shorten(text if start == 0 else "…" + text[start:])
