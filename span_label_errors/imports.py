"""Import what is heavy in less time."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Import torch and transformers in the block.

    They make a million objects that last as long as the process. While they are made, Python would look through all of
    them for garbage again and again, a quarter of the time that the imports take.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
