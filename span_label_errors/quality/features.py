"""Features of spans as answers to a question: the model's probabilities, the question's words, the form of the span.

Each feature is a number that needs no list of any language's words: a word is rare if few contexts of the
data set hold it.
"""

from collections.abc import Iterable

import numpy as np

from span_label_errors.quality.context import TEXT_FEATURES, ContextText, TextSpans, stems
from span_label_errors.spans.expected_f1 import MAX_ANSWER_TOKENS, expected_f1, range_sums
from span_label_errors.spans.text import Span

# What each feature of a span is; and what it says against a span, in words, that it is lower or higher than for
# another. Empty where a person would not take that for a reason; features that say the same add up.
_UNLIKELY, _LIKELY_BESIDE = "the model finds its tokens unlikely", "the model finds a token beside it likely as well"
FEATURES = {
    # Logits of P(span class).
    "lowest_logit": (_UNLIKELY, ""),
    "first_logit": (_UNLIKELY, ""),
    "last_logit": (_UNLIKELY, ""),
    "logit_before": ("", _LIKELY_BESIDE),
    "logit_after": ("", _LIKELY_BESIDE),
    # Logarithm.
    "expected_f1": ("the model prefers another span", ""),
    # Share of the question in the span's sentence, less that of the best sentence.
    "sentence_match": ("another sentence holds more words of the question", ""),
    # To words of the question, less that of the nearest word of the context.
    "nearness": ("the words of the question stand nearer to other words", ""),
    # Of the span's words.
    "share_in_question": ("", "it repeats words of the question"),
    # Word-level F1 with the given answer of another question on the context, the one that overlaps most.
    "overlap_with_other_answer": ("", "it is the given answer of another question"),
    "rarity_of_first_word": ("it begins with a common word", "it begins with a rare word"),
    "rarity_of_last_word": ("it ends with a common word", "it ends with a rare word"),
    "mean_rarity": ("its words are common", "its words are rare"),
    "rarity_before": ("a common word stands before it", "a rare word stands before it"),
    "rarity_after": ("a common word follows it", "a rare word follows it"),
    # A capitalised word or number goes on outside.
    "cuts_name_before": ("", "a name or number begins before it"),
    "cuts_name_after": ("", "a name or number goes on behind it"),
    # Punctuation, or the end of the context.
    "mark_before": ("no punctuation stands before it", "punctuation stands before it"),
    "mark_after": ("no punctuation follows it", "punctuation follows it"),
    "mark_inside": ("", "it has punctuation inside"),
    # Capitalised words and numbers.
    "share_of_names": ("few of its words are names or numbers", "most of its words are names or numbers"),
    # Begins or ends inside a word.
    "cuts_word": ("", "begins or ends inside a word or a number"),
    # Of "no answer", for which all others are 0: 1, and the highest logit of a token.
    "no_answer": ("", ""),
    "highest_logit": ("", "the model finds a likely token"),
}
COLUMN = {name: column for column, name in enumerate(FEATURES)}
_OF_TEXT = [COLUMN[name] for name in TEXT_FEATURES]
# Beside the first and the last token stands nothing, which no model doubts.
_LOGIT_OUTSIDE = -8.0
_SMALLEST = 1e-6


class QuestionFeatures:
    """The features of any span of the context as the answer to one question.

    Parameters
    ----------
    question, text
        The question and its context.
    char_start, char_end, probs : ndarray of shape (C,)
        Characters of the C context tokens, and the out-of-fold P(span class) of each.
    """

    def __init__(
        self, question: str, text: ContextText, char_start: np.ndarray, char_end: np.ndarray, probs: np.ndarray
    ):
        self.text = text
        self._char_start, self._char_end = np.asarray(char_start), np.asarray(char_end)
        probs = np.clip(np.asarray(probs, dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
        self._logits = np.log(probs / (1 - probs))
        self._sum_of_probs = np.concatenate([[0.0], np.cumsum(probs)])
        self._best_f1 = _best_f1(self._sum_of_probs)

        weights = {word: text.rarity.of(word) for word in stems(question)}
        self._nearness = text.nearness(weights)
        places, weight = text.places_of(weights), np.array(list(weights.values()))
        self._is_in_question = places[weight > 0.5].any(axis=0).astype(np.float64)
        in_sentence = np.logical_or.reduceat(places, text.first_of_sentence, axis=1)
        self._match_of_word = (weight / (weight.sum() or 1.0) @ in_sentence)[text.sentence]

    def of(self, spans: TextSpans, other_answers: Iterable[Span] = ()) -> np.ndarray:
        """Return the features of S spans, shape (S, len(FEATURES)), beside the given answers of other questions."""
        # Feature by feature in memory, as they are made.
        features = np.zeros((len(FEATURES), len(spans.num_words)))
        features[_OF_TEXT] = spans.stacked_features
        for name, values in (self._token_features(spans) | self._question_features(spans)).items():
            features[COLUMN[name]] = values
        features[COLUMN["overlap_with_other_answer"]] = spans.highest_word_f1(other_answers)
        return features.T

    def of_no_answer(self) -> np.ndarray:
        """Return the features of "the context has no answer", shape (1, len(FEATURES))."""
        features = np.zeros((1, len(FEATURES)))
        features[0, COLUMN["no_answer"]] = 1.0
        features[0, COLUMN["highest_logit"]] = self._logits.max()
        return features

    def _token_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        tokens, logits = spans.tokens(self._char_start, self._char_end), self._logits
        start, end = tokens
        beside = np.concatenate([[_LOGIT_OUTSIDE], logits, [_LOGIT_OUTSIDE]])
        sum_of_probs = self._sum_of_probs[end] - self._sum_of_probs[start]
        f1 = expected_f1(sum_of_probs, end - start, self._sum_of_probs[-1])
        return {
            "lowest_logit": -tokens.highest(-logits),
            "first_logit": logits[start],
            "last_logit": logits[end - 1],
            "logit_before": beside[start],
            "logit_after": beside[end + 1],
            "expected_f1": np.log(f1 / self._best_f1 + _SMALLEST),
        }

    def _question_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        match = self._match_of_word
        return {
            "sentence_match": np.maximum(match[spans.word_start], match[spans.word_end - 1]) - match.max(),
            "nearness": spans.words.highest(self._nearness) - self._nearness.max(),
            "share_in_question": spans.words.sum(self._is_in_question) / spans.num_words,
        }


def _best_f1(sum_of_probs: np.ndarray) -> float:
    """Return the expected F1 of the best span of tokens, from cumulative sums of P(span class), beginning with 0."""
    lengths = np.arange(1, min(MAX_ANSWER_TOKENS, len(sum_of_probs) - 1) + 1)
    # Of spans of one length, the one with the highest sum is the best.
    return expected_f1(range_sums(sum_of_probs, lengths).max(axis=1), lengths, sum_of_probs[-1]).max()
