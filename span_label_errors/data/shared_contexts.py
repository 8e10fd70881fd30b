"""Examples that hold a context once, however many questions are asked about it.

Contracts have a hundred pages and forty questions each. A copy of the context for every question would be most of the
memory that a run takes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Dataset, Features

# Characters of a context that gets a chunk of its own in a table; to share a shorter one would gain nothing.
_LONG_CONTEXT = 10_000
_ROWS_OF_CHUNK = 10_000
_FINGERPRINT_LENGTH = 16  # as the library's own


def with_shared_contexts(examples: Iterable) -> Iterator:
    """Yield examples, of which equal contexts are the same object; what has no context stays as it is."""
    first: dict[str, str] = {}
    for example in examples:
        context = example.get("context") if isinstance(example, dict) else None
        yield {**example, "context": first.setdefault(context, context)} if isinstance(context, str) else example


def to_dataset(examples: Sequence[dict], features: "Features") -> "Dataset":
    """Return examples as `Dataset.from_list` does, but with each long context once in memory."""
    from datasets import Dataset, DatasetInfo  # 0.3 s, which nothing needs that only predicts

    schema = features.arrow_schema
    columns = {
        field.name: pa.array([example[field.name] for example in examples], field.type)
        for field in schema
        if field.name != "context"
    }
    contexts = [example["context"] for example in examples]
    fingerprint = _fingerprint(schema, columns.values(), contexts)
    columns["context"] = _context_column(contexts)
    return Dataset(pa.table(columns, schema=schema), DatasetInfo(features=features), fingerprint=fingerprint)


def _fingerprint(schema: pa.Schema, columns: Iterable[pa.Array], contexts: Sequence[str]) -> str:
    """Return a hash of what a data set holds; by default it would be pickled, with a context for every question."""
    digest = hashlib.sha256(schema.to_string().encode())
    for buffer in (buffer for column in columns for buffer in column.buffers() if buffer is not None):
        digest.update(buffer.size.to_bytes(8, "little"))
        digest.update(buffer)
    number_of: dict[str, int] = {}
    for context in contexts:
        number = number_of.setdefault(context, len(number_of))
        digest.update(number.to_bytes(8, "little"))
    for context in number_of:
        content = context.encode("utf-8")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()[:_FINGERPRINT_LENGTH]


def _context_column(contexts: Sequence[str]) -> pa.ChunkedArray:
    """Return a column in which rows of a long context are chunks of one row each, which share its bytes."""

    def chunk_of(numbered: tuple[int, str]) -> tuple[int, bool]:
        row, context = numbered
        return row // _ROWS_OF_CHUNK, len(context) > _LONG_CONTEXT

    chunks, chunk_of_context = [], {}
    for (_, is_long), rows in groupby(enumerate(contexts), key=chunk_of):
        texts = [context for _, context in rows]
        if is_long:
            chunk_of_context |= {text: pa.array([text]) for text in set(texts) - chunk_of_context.keys()}
            chunks += [chunk_of_context[text] for text in texts]
        else:
            chunks.append(pa.array(texts))
    return pa.chunked_array(chunks, pa.string())
