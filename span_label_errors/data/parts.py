"""Parts of a data set that are held in memory together, however long its contexts are."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

# Of contexts as short as SQuAD's, the examples of a part are some thousand; of contracts, a few dozen.
TOKENS_AT_ONCE = 2**19
Item = TypeVar("Item")


def in_parts(
    items: Iterable[Item], num_tokens: Callable[[Item], int], most_items: int, most_tokens: int = TOKENS_AT_ONCE
) -> Iterator[list[Item]]:
    """Yield items in lists of at most `most_items`, each of which ends as soon as it has `most_tokens`."""
    part: list[Item] = []
    tokens_of_part = 0
    for item in items:
        part.append(item)
        tokens_of_part += num_tokens(item)
        del item  # else the last one of a part would be held while the next part is made
        if len(part) == most_items or tokens_of_part >= most_tokens:
            yield part
            part, tokens_of_part = [], 0
    if part:
        yield part
