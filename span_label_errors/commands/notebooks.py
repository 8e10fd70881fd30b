"""`span-label-errors notebooks DIR`: copy the two notebooks, and an example of parameters, into your own folder."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from span_label_errors.files import check_writable, notebooks_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy the notebooks and print where they are; return 0, or 1 if a file is in the way or cannot be written."""
    parser = argparse.ArgumentParser(prog="span-label-errors notebooks", description=__doc__.partition(": ")[2])
    parser.add_argument("folder", help="where they go; their outputs and folds go beside them")
    folder = Path(parser.parse_args(arguments).folder)
    sources = sorted(file for file in notebooks_folder().iterdir() if file.suffix in (".ipynb", ".yaml"))
    in_the_way = [source.name for source in sources if (folder / source.name).exists()]
    if in_the_way:
        print(f"{folder}: expected none of {', '.join(in_the_way)} there; move them, or name another folder")
        return 1
    try:
        check_writable(folder)
        for source in sources:
            print(shutil.copy(source, folder / source.name))
    except OSError as error:
        print(error)
        return 1
    return 0
