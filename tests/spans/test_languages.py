"""Labels of answers in many languages, by tokenizers of three kinds."""

import functools

import numpy as np
import pytest
from families import make_tokenizer
from languages import LANGUAGES, examples_of

from span_label_errors.spans.alignment import DEFAULT_LABEL_MAP, answer_spans, token_labels, tokenize_texts


@functools.cache
def trained_tokenizer(family: str):
    """A tokenizer of the family's kind, trained on all sets."""
    texts = [row[column] for name in LANGUAGES for row in examples_of(name) for column in ("context", "question")]
    return make_tokenizer(family).train_new_from_iterator(texts, 2000, show_progress=False)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "roberta"])
@pytest.mark.parametrize("name", LANGUAGES)
def test_labelled_tokens_are_the_fewest_that_cover_the_answer(name, family):
    for row in examples_of(name):
        context, (answer,), (start,) = row["context"], row["answers"]["text"], row["answers"]["answer_start"]
        (tokens,) = tokenize_texts(trained_tokenizer(family), [context])
        labels = token_labels(tokens, answer_spans(row, DEFAULT_LABEL_MAP), DEFAULT_LABEL_MAP)[:, 1]
        first, last = np.flatnonzero(labels)[[0, -1]]
        # Tokens that stand for no text, as for a space, have no label.
        assert (labels[first : last + 1] == tokens.has_text[first : last + 1]).all()
        # Both ends are in a token of the answer, and no token of it stands beside it.
        assert tokens.char_start[first] <= start < tokens.char_end[first]
        assert tokens.char_start[last] < start + len(answer) <= tokens.char_end[last]
        # Nothing between them is in no token, but for what has no width: BERT throws it away.
        covered = np.zeros(len(context), dtype=bool)
        for char_start, char_end in zip(
            tokens.char_start[first : last + 1], tokens.char_end[first : last + 1], strict=True
        ):
            covered[char_start:char_end] = True
        missed = {character for character, is_in in zip(answer, covered[start:], strict=False) if not is_in}
        assert missed <= {" ", "\u00a0", "\u200c"}
