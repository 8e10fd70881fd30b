"""`span-label-errors notebooks DIR`: copy the two notebooks, and their settings files, into a folder of one's own."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from span_label_errors.files import check_writable, notebooks_folder


def copy_notebooks(folder: str | Path) -> list[Path]:
    """Copy the notebooks that come with this project into a folder.

    Parameters
    ----------
    folder : str or Path
        Created if need be.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    FileExistsError
        If a file of such a name is there already; then nothing is copied.
    OSError
        If the folder cannot be written.
    """
    folder = check_writable(folder)
    sources = sorted(file for file in notebooks_folder().iterdir() if file.suffix in (".ipynb", ".yaml"))
    there = [source.name for source in sources if (folder / source.name).exists()]
    if there:
        raise FileExistsError(f"{folder}: expected none of {', '.join(there)} there; move them, or name another folder")
    return [Path(shutil.copy(source, folder / source.name)) for source in sources]


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy, and say what to do next; return 0, or 1 if it could not be done."""
    parser = argparse.ArgumentParser(prog="span-label-errors notebooks", description=__doc__.partition(": ")[2])
    parser.add_argument("folder", help="where they go; their outputs and folds go beside them")
    folder = parser.parse_args(arguments).folder
    try:
        copies = copy_notebooks(folder)
    except OSError as error:
        print(error)
        return 1
    for copy in copies:
        print(copy)
    return 0
