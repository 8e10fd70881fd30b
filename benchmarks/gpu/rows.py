"""What is measured: rows, each on disk as soon as it is known, and the tables made of them."""

import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ERROR, SKIPPED = "error", "skipped"


@dataclass(frozen=True)
class Rows:
    """Appends the rows of one section to a file of JSON lines, until a deadline.

    Parameters
    ----------
    file : Path
    section : str
    deadline : float
        As `time.time` counts.
    """

    file: Path
    section: str
    deadline: float

    def add(self, **row: object) -> None:
        """Write a row to the file, and show it."""
        line = json.dumps({"section": self.section, **row}, ensure_ascii=False)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)

    def measure(self, needs_seconds: float, function: Callable[[], dict], **named: object) -> dict | None:
        """Add a row of what `function` returns, and return it; None if it was skipped or failed, which the row says.

        Parameters
        ----------
        needs_seconds : float
            With less time left, the row is skipped.
        function : callable
            Returns the row as a dict.
        **named
            What the row is about; its first columns.
        """
        left = self.deadline - time.time()
        if left < needs_seconds:
            self.add(**named, **{SKIPPED: f"{left:.0f} s were left, and it takes about {needs_seconds:.0f} s"})
            return None
        try:
            row = function()
        except Exception as error:
            # One measurement that fails must not cost the others: this machine may not be had again.
            traceback.print_exc()
            self.add(**named, **{ERROR: f"{type(error).__name__}: {str(error)[:300]}"})
            return None
        self.add(**named, **row)
        return row


def read_rows(file: Path) -> list[dict]:
    """Return the rows of a file of JSON lines, none if there is no file; a last line that was cut off is left out."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def markdown(rows: Sequence[dict], about: dict[str, str]) -> str:
    """Return one table for each section; `about` says of each, in their order, what is measured."""
    lines = []
    for section, text in about.items():
        of_section = [row for row in rows if row["section"] == section]
        if of_section:
            lines += [f"## {section[0].upper()}{section[1:]}", "", text, "", *_table(of_section), ""]
    return "\n".join(lines)


def _table(rows: Sequence[dict]) -> list[str]:
    told = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    names = [name for name in told if name != "section"]
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    return [
        f"| {' | '.join(row)} |" for row in ([name.replace("_", " ") for name in names], ["---"] * len(names), *cells)
    ]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")
