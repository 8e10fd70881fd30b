"""Import what is heavy in less time."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Import torch and transformers in the block.

    They make a million objects that last as long as the process. While they are made, Python would look through all of
    them for garbage again and again, a quarter of the time that the imports take, and so it would later on. After the
    block it leaves them alone, as it does with all else that is there then; where transformers has been imported
    before, nothing is gained and nothing changes.
    """
    if "transformers" in sys.modules or not gc.isenabled():
        yield
        return
    gc.collect()  # what is garbage already shall not be kept
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
