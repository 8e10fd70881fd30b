"""Words, sentences and answer spans of a text, and which tokens an answer span covers."""
