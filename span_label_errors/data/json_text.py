"""Parse files of JSON, and of JSON Lines: an entry a line."""

import json


def parse_json(content: bytes, where: str, is_lines: bool = False) -> object:
    """Return a file's document, or its lines as a list.

    Its content says which: what follows a whole document is another line. Many programs name JSON Lines `.json`.

    Parameters
    ----------
    content : bytes
    where : str
        The file's name, for messages.
    is_lines : bool
        Whether the file's name says that it holds lines; then an error names the line.

    Raises
    ------
    ValueError
        If it is neither.
    """
    text = decoded(content, where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if not is_lines and not str(error).startswith("Extra data"):
            raise _not_json(where, error) from error
    # Cut at the newline only: str.splitlines would also cut at U+2028 inside a JSON string.
    lines = enumerate(text.split("\n"), start=1)
    return [_parse_line(line, f"{where}, line {number}") for number, line in lines if line and not line.isspace()]


def decoded(content: bytes, where: str) -> str:
    """Return the text of a file in UTF-8; it raises ValueError if it has another encoding."""
    if content[:4].count(0) or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{where}: expected UTF-8 text, found what looks like UTF-16 or UTF-32; save it as UTF-8")
    try:
        # With -sig, a byte-order mark as Windows tools write it is no part of the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected UTF-8 text; {error}; save it as UTF-8") from error


def _parse_line(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_json(where, error) from error


def _not_json(where: str, error: Exception) -> ValueError:
    # Not only JSONDecodeError: Python refuses to read a number of some thousand digits.
    reason = "it is nested too deeply to be read" if isinstance(error, RecursionError) else error
    return ValueError(f"{where}: expected JSON; {reason}")
