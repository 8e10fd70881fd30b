"""Features of spans as answers to a question: the model's probabilities, the question's words, the form of the span.

Each feature is a number that needs no list of any language's words: a word is rare if few contexts of the
data set hold it.
"""

from collections.abc import Sequence

import numpy as np

from span_label_errors.quality.context import ContextText, TextSpans, ranges_touched, stems
from span_label_errors.spans.expected_f1 import expected_f1, expected_f1_of_spans, range_sums
from span_label_errors.spans.text import Span

# What each feature of a span is; and as a reason against an answer, in words, that it is lower or higher than for most
# given answers. Empty where a person would not take that for a reason; features that say the same add up.
FEATURES = {
    # Of the span's tokens, standardised within the context.
    "mean_logit": ("the model finds its tokens unlikely", ""),
    "lowest_logit": ("the model finds its tokens unlikely", ""),
    # Of its first and last token.
    "lowest_edge_logit": ("the model finds its tokens unlikely", ""),
    # Of the tokens just outside.
    "highest_logit_beside": ("", "the model finds a token beside it likely as well"),
    # mean_logit, less that of the best span of the same length elsewhere.
    "margin": ("the model prefers another span", ""),
    # mean_logit, less that of the best other place with the same text.
    "margin_of_occurrence": ("the model prefers another place of the same text", ""),
    # As a share of the best span's.
    "expected_f1": ("the model prefers another span", ""),
    # Share of the question in the span's sentence, less that of the best sentence.
    "sentence_match": ("another sentence holds more words of the question", ""),
    # To words of the question, less that of the nearest word of the context.
    "nearness": ("the words of the question stand nearer to other words", ""),
    # nearness, less that of the best other place with the same text.
    "nearness_of_occurrence": ("the same text stands nearer to the question elsewhere", ""),
    # Of the span's words.
    "share_in_question": ("", "it repeats words of the question"),
    # Logarithm.
    "num_words": ("it is shorter than most answers", "it is longer than most answers"),
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
    # Begins or ends inside a word; the check "cut_word" gives that reason.
    "cuts_word": ("", ""),
    # The competing answer is the given answer of another question on the context that overlaps most: word-level F1.
    "overlap_with_competing_answer": ("", "looks like the answer of another question"),
    # mean_logit for the competing question, less that for this one.
    "logit_for_competing_question": ("", "the model finds it likelier for another question"),
    # nearness and sentence_match together for the competing question, less those for this one.
    "nearness_to_competing_question": ("", "it stands nearer to the words of another question"),
}
COLUMN = {name: column for column, name in enumerate(FEATURES)}


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
        probs = self.probs = np.clip(np.asarray(probs, dtype=np.float64), 1e-6, 1 - 1e-6)
        logits = np.log(probs / (1 - probs))
        self._logits = (logits - logits.mean()) / (logits.std() + 1e-9)
        self._sum_of_probs = np.concatenate([[0.0], np.cumsum(probs)])
        self._sum_of_logits = np.concatenate([[0.0], np.cumsum(self._logits)])
        self._best_f1 = expected_f1_of_spans(probs).max()

        weights = {word: text.rarity.of(word) for word in stems(question)}
        self._nearness = text.nearness(weights)
        self._is_in_question = np.array([weights.get(word, 0.0) > 0.5 for word in text.stems], dtype=np.float64)
        in_sentence = [{} for _ in range(text.sentence[-1] + 1)]
        for word, sentence in zip(text.stems, text.sentence.tolist(), strict=True):
            if word in weights:
                in_sentence[sentence][word] = weights[word]
        total = sum(weights.values()) or 1.0
        self._match_of_sentence = np.array([sum(found.values()) / total for found in in_sentence])

    def of(
        self, spans: Sequence[Span] | TextSpans, competing: Sequence[tuple[Span, "QuestionFeatures"]] = ()
    ) -> np.ndarray:
        """Return the features of spans.

        Parameters
        ----------
        spans : TextSpans, or sequence of (char_start, char_end)
            S ranges of characters.
        competing : sequence of (span, QuestionFeatures)
            The given answers of other questions on the same context, and the features for those questions.

        Returns
        -------
        ndarray of shape (S, len(FEATURES)), float64
        """
        if not isinstance(spans, TextSpans):
            spans = TextSpans(self.text, *np.array(spans, dtype=np.int64).reshape(-1, 2).T)
        known = {**spans.features, **self._token_features(spans), **self._question_features(spans)}
        known |= self._features_of_other_places(spans, known)
        known |= _features_of_competing_questions(spans, known, competing)
        return np.column_stack([known[name] for name in FEATURES])

    def mean_logit(self, spans: TextSpans) -> np.ndarray:
        """Return the mean standardised logit of each span's tokens, shape (S,)."""
        start, end = self._tokens(spans)
        return (self._sum_of_logits[end] - self._sum_of_logits[start]) / (end - start)

    def match(self, spans: TextSpans) -> np.ndarray:
        """Return how well the place of each span matches the question, shape (S,): nearness and sentence match."""
        known = self._question_features(spans)
        return known["nearness"] + known["sentence_match"]

    def _tokens(self, spans: TextSpans) -> tuple[np.ndarray, np.ndarray]:
        return ranges_touched(self._char_start, self._char_end, spans.char_start, spans.char_end)

    def _token_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        (start, end), logits = self._tokens(spans), self._logits
        beside = np.concatenate([[-np.inf], logits, [-np.inf]])
        highest_beside = np.maximum(beside[start], beside[end + 1])
        mean_logit = self.mean_logit(spans)
        sum_of_probs = self._sum_of_probs[end] - self._sum_of_probs[start]
        return {
            "mean_logit": mean_logit,
            "lowest_logit": np.minimum.reduceat(np.append(logits, np.inf), np.column_stack([start, end]).ravel())[::2],
            "lowest_edge_logit": np.minimum(logits[start], logits[end - 1]),
            # A span that is the whole context has nothing beside it.
            "highest_logit_beside": np.where(np.isfinite(highest_beside), highest_beside, logits.min()),
            "margin": mean_logit - self._best_elsewhere(start, end),
            "expected_f1": expected_f1(sum_of_probs, end - start, self._sum_of_probs[-1]) / self._best_f1,
        }

    def _best_elsewhere(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return the highest mean logit of a span of the same length that shares no token; 0 where there is none."""
        lengths, which = np.unique(end - start, return_inverse=True)
        means = range_sums(self._sum_of_logits, lengths) / lengths[:, None]
        # Column i: of those that begin before token i; of those that begin there or behind.
        nothing = np.full((len(means), 1), -np.inf)
        up_to = np.hstack([nothing, np.maximum.accumulate(means, axis=1)])
        from_here = np.hstack([np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1], nothing])
        best = np.maximum(up_to[which, (2 * start - end + 1).clip(min=0)], from_here[which, end])
        return np.where(np.isfinite(best), best, 0.0)

    def _question_features(self, spans: TextSpans) -> dict[str, np.ndarray]:
        match = self._match_of_sentence[self.text.sentence]
        return {
            "sentence_match": np.maximum(match[spans.word_start], match[spans.word_end - 1]) - match.max(),
            "nearness": spans.highest_of_words(self._nearness) - self._nearness.max(),
            "share_in_question": spans.sum_of_words(self._is_in_question) / spans.num_words,
        }

    def _features_of_other_places(self, spans: TextSpans, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compare spans with the other places where the same words stand; 0 where there is none."""
        margin, nearness = np.zeros((2, len(spans.num_words)))
        rows, begins, places = spans.other_places
        if len(rows):
            best = np.maximum.reduceat(self.mean_logit(places), begins)
            nearest = np.maximum.reduceat(places.highest_of_words(self._nearness), begins)
            margin[rows] = known["mean_logit"][rows] - best
            nearness[rows] = known["nearness"][rows] + self._nearness.max() - nearest
        return {"margin_of_occurrence": margin, "nearness_of_occurrence": nearness}


def _features_of_competing_questions(
    spans: TextSpans, known: dict[str, np.ndarray], competing: Sequence[tuple[Span, QuestionFeatures]]
) -> dict[str, np.ndarray]:
    """Compare spans, as answers to this question, with the same as answers to the questions they compete with."""
    overlap, logit, nearness = np.zeros((3, len(spans.num_words)))
    closest = np.full(len(overlap), -1)
    for number, (answer, _) in enumerate(competing):
        of_answer = spans.overlap(answer)
        is_closer = of_answer > overlap
        overlap[is_closer], closest[is_closer] = of_answer[is_closer], number
    own_match = known["nearness"] + known["sentence_match"]
    for number, (_, other) in enumerate(competing):
        rows = closest == number
        if rows.any():
            logit[rows] = other.mean_logit(spans)[rows] - known["mean_logit"][rows]
            nearness[rows] = other.match(spans)[rows] - own_match[rows]
    return {
        "overlap_with_competing_answer": overlap,
        "logit_for_competing_question": logit,
        "nearness_to_competing_question": nearness,
    }
