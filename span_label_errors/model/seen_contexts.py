"""What a model lists of the contexts that it has read: their hashes, so that no list holds a text."""

import hashlib

from span_label_errors.spans.text import normalized_text

SEEN_CONTEXTS_FILE = "seen_contexts.json"


def context_hash(context: str) -> str:
    """Return a hash that names a context, in whatever spelling, without holding its text."""
    return hashlib.sha256(normalized_text(context).encode("utf-8", "surrogatepass")).hexdigest()[:32]
