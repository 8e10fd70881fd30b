"""Features of labelled spans: the model's probabilities of each class, how the text is labelled elsewhere, its form."""

from typing import NamedTuple

import numpy as np

from span_label_errors.quality.context import ContextText, TextSpans, ranges_touched
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


class Place(NamedTuple):
    """Whose context it is."""

    title: str
    paragraph: int


class SpanFeatures:
    """The features of any span of a context as one of each of K classes.

    Parameters
    ----------
    text
        The context.
    char_start, char_end : ndarray of shape (C,)
        Characters of the C context tokens.
    probs : ndarray of shape (C, K)
        Out-of-fold probabilities of the classes.
    memory, place
        How texts are labelled elsewhere, seen from here.
    share_of_class : ndarray of shape (K,)
        Of all given spans, the share of each class.
    """

    def __init__(
        self,
        text: ContextText,
        char_start: np.ndarray,
        char_end: np.ndarray,
        probs: np.ndarray,
        memory: LabelMemory,
        place: Place,
        share_of_class: np.ndarray,
    ):
        self.text, self._char_start, self._char_end = text, char_start, char_end
        self._memory, self._place, self._share_of_class = memory, place, share_of_class
        probs = np.clip(probs, _SMALLEST, 1 - _SMALLEST)
        self.logits = np.log(probs / (1 - probs))
        num_classes = probs.shape[1]
        outside = np.full((1, num_classes), _LOGIT_OUTSIDE)
        self._beside = np.concatenate([outside, self.logits, outside])
        self._padded = np.concatenate([self.logits, np.full((1, num_classes), np.inf)])
        self._sums = np.concatenate([np.zeros((1, num_classes)), np.cumsum(self.logits, axis=0)])

    def of(self, spans: TextSpans) -> np.ndarray:
        """Return the features of S spans as each class, shape (S * K, F), all classes of a span one after the other."""
        num_classes = len(self._share_of_class)
        known = {**self._token_features(spans), **self._memory_features(spans)}
        known["share_of_class"] = np.broadcast_to(np.log(self._share_of_class), (len(spans.num_words), num_classes))
        of_text = spans.features
        names = ("share_of_names", "cuts_name_before", "cuts_name_after", "mark_inside", "mean_rarity", "cuts_word")
        known |= {name: of_text[name][:, None] for name in names}
        known["log_num_words"] = np.log(spans.num_words)[:, None]
        known |= {name: values[:, None] for name, values in self._case_features(spans).items()}
        features = np.zeros((len(spans.num_words), num_classes, len(SPAN_FEATURES)))
        for name, values in known.items():
            features[:, :, SPAN_COLUMN[name]] = values
        return features.reshape(-1, len(SPAN_FEATURES))

    def of_nothing(self, char_start: int, char_end: int) -> np.ndarray:
        """Return the features of "nothing is labelled" between two characters, shape (1, F)."""
        features = np.zeros((1, len(SPAN_FEATURES)))
        (start,), (end,) = ranges_touched(
            self._char_start, self._char_end, np.array([char_start]), np.array([char_end])
        )
        elsewhere, in_document = self._counts(key_of(self.text.context, (char_start, char_end)))
        features[0, SPAN_COLUMN["nothing"]] = 1.0
        features[0, SPAN_COLUMN["highest_logit"]] = self.logits[start:end].max()
        for name, counts in (("unlabelled_elsewhere", elsewhere), ("unlabelled_in_document", in_document)):
            features[0, SPAN_COLUMN[name]] = _log_share(counts[-1] - counts[:-1].sum(), counts[-1])
        return features

    def _token_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        start, end = ranges_touched(self._char_start, self._char_end, spans.char_start, spans.char_end)
        ranges = np.column_stack([start, end]).ravel()
        mean = (self._sums[end] - self._sums[start]) / (end - start)[:, None]
        # The highest of the other classes: the highest of all, or the second highest for the class that has it.
        rival = np.full(mean.shape, _LOGIT_OUTSIDE)
        if mean.shape[1] > 1:
            second, highest = np.partition(mean, -2, axis=1)[:, -2:].T[:, :, None]
            rival = np.where(mean == highest, second, highest)
        return {
            "lowest_logit": np.minimum.reduceat(self._padded, ranges, axis=0)[::2],
            "mean_logit": mean,
            "first_logit": self.logits[start],
            "last_logit": self.logits[end - 1],
            "logit_before": self._beside[start],
            "logit_after": self._beside[end + 1],
            "rival_logit": rival,
        }

    def _memory_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        pairs = zip(spans.char_start.tolist(), spans.char_end.tolist(), strict=True)
        counts = [self._counts(key_of(self.text.context, span)) for span in pairs]
        features = {}
        for where, of_where in zip(("elsewhere", "in_document"), zip(*counts, strict=True), strict=True):
            of_spans = np.array(of_where)
            of_class, num_places = of_spans[:, :-1], of_spans[:, -1:]
            labelled = of_class.sum(axis=1, keepdims=True)
            share = (of_class + _CLASS_STRENGTH * self._share_of_class) / (labelled + _CLASS_STRENGTH)
            features[f"class_{where}"] = np.log(share / self._share_of_class)
            features[f"labelled_{where}"] = _log_share(labelled, num_places)
        return features

    def _counts(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        title, paragraph = self._place
        return self._memory.elsewhere(text, paragraph), self._memory.in_document(text, title, paragraph)

    def _case_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        context = self.text.context
        texts = [context[start:end] for start, end in zip(spans.char_start, spans.char_end, strict=True)]
        first_of_sentence = np.append(True, np.diff(self.text.sentence) != 0)
        return {
            "begins_lower": np.array([text[:1].islower() for text in texts], dtype=float),
            "all_capitals": np.array([text.isupper() for text in texts], dtype=float),
            "begins_sentence": first_of_sentence[spans.word_start].astype(float),
        }


def _log_share(count: np.ndarray | float, of_all: np.ndarray | float) -> np.ndarray | float:
    """Return the logarithm of a smoothed share over a half, which is what it is of nothing."""
    # Overlapping spans may have one text: more labels than places.
    count = np.clip(count, 0, of_all)
    return np.log((count + _LABELLED_STRENGTH / 2) / (of_all + _LABELLED_STRENGTH) * 2)
