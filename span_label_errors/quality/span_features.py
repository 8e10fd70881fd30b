"""Features of labelled spans: the model's probabilities of each class, how the text is labelled elsewhere, its form."""

from collections.abc import Sequence

import numpy as np

from span_label_errors.quality.context import TextSpans
from span_label_errors.quality.joined_text import JoinedRanges, JoinedText, offsets
from span_label_errors.quality.memory import LabelMemory, key_of

_UNLIKELY, _LIKELY_BESIDE = "the model finds its tokens unlikely", "the model finds a token beside it likely as well"
# As in `features.FEATURES`: what each is, and what it says against a span that it is lower or higher than for another.
SPAN_FEATURES = {
    # Logits of P(class).
    "lowest_logit": (_UNLIKELY, ""),
    "mean_logit": (_UNLIKELY, ""),
    "first_logit": (_UNLIKELY, ""),
    "last_logit": (_UNLIKELY, ""),
    "logit_before": ("", _LIKELY_BESIDE),
    "logit_after": ("", _LIKELY_BESIDE),
    # The highest mean logit of another class on its tokens.
    "rival_logit": ("", "the model finds another class likely"),
    # Logarithms of smoothed shares: of the class among all spans, of the class among the spans with this text
    # elsewhere, and of labelled ones among the places of this text elsewhere; the last two over the first, so that
    # they are 0 for a text that is nowhere else. Then the same within the document.
    "share_of_class": ("few spans have its class", ""),
    "class_elsewhere": ("elsewhere this text has another class", ""),
    "labelled_elsewhere": ("elsewhere this text is not labelled", ""),
    "class_in_document": ("in this document this text has another class", ""),
    "labelled_in_document": ("in this document this text is not labelled", ""),
    "log_num_words": ("", "it is long"),
    # The encoder may not see case.
    "share_of_names": ("few of its words are names or numbers", "most of its words are names or numbers"),
    "begins_lower": ("", "it begins in lower case"),
    "all_capitals": ("", ""),
    "begins_sentence": ("", ""),
    "cuts_name_before": ("", "a name or number begins before it"),
    "cuts_name_after": ("", "a name or number goes on behind it"),
    "mark_inside": ("", "it has punctuation inside"),
    "mean_rarity": ("its words are common", "its words are rare"),
    "cuts_word": ("", "begins or ends inside a word or a number"),
    # Of "nothing here", for which all others are 0: 1, the highest logit of any class there, and the logarithms of the
    # smoothed shares of unlabelled ones among the places of the text elsewhere, and in the document.
    "nothing": ("", ""),
    "highest_logit": ("", "the model finds a likely token"),
    "unlabelled_elsewhere": ("elsewhere this text is labelled", ""),
    "unlabelled_in_document": ("in this document this text is labelled", ""),
}
# What is said of a span alone, with zero in the middle: all else compares it with another one.
SAID_ALONE = (
    "lowest_logit", "mean_logit", "labelled_elsewhere", "labelled_in_document", "begins_lower", "mark_inside",
    "cuts_word", "highest_logit", "unlabelled_elsewhere", "unlabelled_in_document",
)  # fmt: skip
SPAN_COLUMN = {name: column for column, name in enumerate(SPAN_FEATURES)}
_LOGIT_OUTSIDE, _SMALLEST = -8.0, 1e-6
# How much is known of a text before it is seen, in places.
_CLASS_STRENGTH, _LABELLED_STRENGTH = 2.0, 1.0


class SpanFeatures:
    """The features of any spans of a few examples as each of K classes.

    Parameters
    ----------
    text
        The contexts of the E examples.
    examples : ndarray of shape (E,)
        Their indices in the data set.
    tokens : sequence of (char_start, char_end, probs), length E
        Characters of the C context tokens of each, of shape (C,), and their out-of-fold probabilities of the classes,
        of shape (C, K).
    memory
        How texts are labelled elsewhere.
    share_of_class : ndarray of shape (K,)
        Of all given spans, the share of each class.
    """

    def __init__(
        self,
        text: JoinedText,
        examples: np.ndarray,
        tokens: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
        memory: LabelMemory,
        share_of_class: np.ndarray,
    ):
        self.text, self._examples, self._memory, self._share_of_class = text, examples, memory, share_of_class
        char_start, char_end, probs = zip(*tokens, strict=True)
        self._first_token = offsets([len(of_example) for of_example in char_start])
        self._char_start, self._char_end = text.characters(char_start), text.characters(char_end)
        # Beside the tokens of each example is what stands outside.
        is_token = np.ones(self._first_token[-1] + len(examples) + 1, dtype=bool)
        is_token[self._first_token + np.arange(len(examples) + 1)] = False
        self._logits = np.full((len(is_token), len(share_of_class)), _LOGIT_OUTSIDE)
        probs = np.clip(np.concatenate(probs), _SMALLEST, 1 - _SMALLEST)
        self._of_tokens = np.log(probs / (1 - probs))
        self._logits[is_token] = self._of_tokens

    def of(self, spans: TextSpans) -> np.ndarray:
        """Return the features of S spans as each class, shape (S, K, F)."""
        known = {**self._token_features(spans), **self._memory_features(spans)}
        known["share_of_class"] = np.log(self._share_of_class)[None]
        of_text = spans.features
        names = ("share_of_names", "cuts_name_before", "cuts_name_after", "mark_inside", "mean_rarity", "cuts_word")
        known |= {name: of_text[name][:, None] for name in names}
        known["log_num_words"] = np.log(spans.num_words)[:, None]
        known |= {name: values[:, None] for name, values in self._case_features(spans).items()}
        features = np.zeros((len(spans.num_words), len(self._share_of_class), len(SPAN_FEATURES)))
        for name, values in known.items():
            features[:, :, SPAN_COLUMN[name]] = values
        return features

    def of_nothing(self, char_start: np.ndarray, char_end: np.ndarray) -> np.ndarray:
        """Return the features of "nothing is labelled" in P places, shape (P, F)."""
        features = np.zeros((len(char_start), len(SPAN_FEATURES)))
        features[:, SPAN_COLUMN["nothing"]] = 1.0
        tokens = self._tokens_of(char_start, char_end)
        features[:, SPAN_COLUMN["highest_logit"]] = tokens.highest(self._of_tokens.max(axis=1))
        number, example_index = self._texts_of(char_start, char_end)
        for name, counts in (("elsewhere", self._memory.elsewhere), ("in_document", self._memory.in_document)):
            of_places = counts(number, example_index)
            unlabelled = of_places[:, -1] - of_places[:, :-1].sum(axis=1)
            features[:, SPAN_COLUMN[f"unlabelled_{name}"]] = _log_share(unlabelled, of_places[:, -1])
        return features

    def _tokens_of(self, char_start: np.ndarray, char_end: np.ndarray) -> JoinedRanges:
        return self.text.touched(self._char_start, self._char_end, self._first_token, char_start, char_end)

    def _texts_of(self, char_start: np.ndarray, char_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each span's text in the memory, and the index of its example."""
        spans = zip(char_start.tolist(), char_end.tolist(), strict=True)
        number = self._memory.numbers_of(key_of(self.text.context, span) for span in spans)
        return number, self._examples[self.text.example_of(char_start)]

    def _token_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        tokens = self._tokens_of(spans.char_start, spans.char_end)
        mean = tokens.sum(self._of_tokens) / (tokens.end - tokens.start)[:, None]
        # Where they are among those that have what stands outside beside them.
        start, end = (borders + tokens.example + 1 for borders in tokens)
        # The highest of the other classes: the highest of all, or the second highest for the class that has it.
        rival = np.full(mean.shape, _LOGIT_OUTSIDE)
        if mean.shape[1] > 1:
            second, highest = np.partition(mean, -2, axis=1)[:, -2:].T[:, :, None]
            rival = np.where(mean == highest, second, highest)
        return {
            "lowest_logit": np.column_stack([-tokens.highest(-of_class) for of_class in self._of_tokens.T]),
            "mean_logit": mean,
            "first_logit": self._logits[start],
            "last_logit": self._logits[end - 1],
            "logit_before": self._logits[start - 1],
            "logit_after": self._logits[end],
            "rival_logit": rival,
        }

    def _memory_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        number, example_index = self._texts_of(spans.char_start, spans.char_end)
        shape, known = (len(number), len(self._share_of_class)), np.flatnonzero(number >= 0)
        features = {}
        for name, counts in (("elsewhere", self._memory.elsewhere), ("in_document", self._memory.in_document)):
            # Most texts are labelled nowhere, of which nothing is said.
            features[f"class_{name}"], features[f"labelled_{name}"] = np.zeros(shape), np.zeros((len(number), 1))
            of_spans = counts(number[known], example_index[known])
            of_class, num_places = of_spans[:, :-1], of_spans[:, -1:]
            labelled = of_class.sum(axis=1, keepdims=True)
            share = (of_class + _CLASS_STRENGTH * self._share_of_class) / (labelled + _CLASS_STRENGTH)
            features[f"class_{name}"][known] = np.log(share / self._share_of_class)
            features[f"labelled_{name}"][known] = _log_share(labelled, num_places)
        return features

    def _case_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        context = self.text.context
        pairs = zip(spans.char_start.tolist(), spans.char_end.tolist(), strict=True)
        texts = [context[start:end] for start, end in pairs]
        return {
            "begins_lower": np.array([text[:1].islower() for text in texts], dtype=float),
            "all_capitals": np.array([text.isupper() for text in texts], dtype=float),
            "begins_sentence": self.text.begins_sentence[spans.word_start].astype(float),
        }


def _log_share(count: np.ndarray, of_all: np.ndarray) -> np.ndarray:
    """Return the logarithm of a smoothed share over a half, which is what it is of nothing."""
    # Overlapping spans may have one text: more labels than places.
    count = np.clip(count, 0, of_all)
    return np.log((count + _LABELLED_STRENGTH / 2) / (of_all + _LABELLED_STRENGTH) * 2)
