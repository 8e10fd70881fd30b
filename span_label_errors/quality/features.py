"""What speaks for a span of the context as the answer: the model's probabilities, the question's words, its form.

Every piece of evidence is a number that needs no list of words of a language: rare words are told from common ones by
counting the contexts of the data set that hold them.
"""

from collections.abc import Sequence

import numpy as np

from span_label_errors.quality.context import COLUMN, ContextText, TextSpans, TokenRanges, stems
from span_label_errors.spans.expected_f1 import expected_f1, expected_f1_of_spans, range_sums
from span_label_errors.spans.text import Span


class ContextEvidence:
    """The evidence for any span of one example's context.

    Parameters
    ----------
    question : str
    text : ContextText
    char_start, char_end : ndarray of shape (C,)
        Characters of the C context tokens.
    probs : ndarray of shape (C,)
        Out-of-fold P(span class) of each.
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
        self._read_question(question)
        self._last_standing: tuple[TextSpans, tuple[np.ndarray, np.ndarray]] | None = None

    def _read_question(self, question: str) -> None:
        text = self.text
        asked = {word: text.rarity.of(word) for word in stems(question)}
        total = sum(asked.values()) or 1.0
        # In the order in which they stand in the context.
        positions_of = {word: text.positions_of[word] for word in asked if word in text.positions_of}
        positions = sorted((position, word) for word, where in positions_of.items() for position in where)
        self._is_asked, self._nearness = np.zeros((2, len(text.words)))
        for word in dict.fromkeys(word for _, word in positions):
            self._nearness += asked[word] / total * text.closeness(word)
            if asked[word] > 0.5:
                self._is_asked[positions_of[word]] = 1.0
        sentence = text.sentence.tolist()
        found = [{} for _ in range(sentence[-1] + 1)]
        for position, word in positions:
            found[sentence[position]][word] = asked[word]
        match = np.array([sum(of_sentence.values()) / total for of_sentence in found])
        self._match_of_word, self._best_match = match[text.sentence], match.max()

    def of(
        self, spans: Sequence[Span] | TextSpans, takers: Sequence[tuple[Span, "ContextEvidence"]] = ()
    ) -> np.ndarray:
        """Return the evidence for spans.

        Parameters
        ----------
        spans : TextSpans, or sequence of (char_start, char_end)
            S ranges of characters, each of at least one token.
        takers : sequence of (span, ContextEvidence)
            The given answers of other questions on the same context, and the evidence for those questions.

        Returns
        -------
        ndarray of shape (S, len(FEATURES)), float64
        """
        if not isinstance(spans, TextSpans):
            spans = TextSpans(self.text, *np.array(spans, dtype=np.int64).reshape(-1, 2).T)
        known = {**self._evidence_of_tokens(spans), **self._evidence_of_question(spans)}
        known |= self._against_other_occurrences(spans, known)
        known |= self._against_takers(spans, known, takers)
        evidence = spans.evidence.copy()
        for name, values in known.items():
            evidence[:, COLUMN[name]] = values
        return evidence

    def _tokens(self, spans: TextSpans) -> TokenRanges:
        return spans.tokens(self._char_start, self._char_end)

    def _mean_logit(self, spans: TextSpans) -> np.ndarray:
        tokens = self._tokens(spans)
        return (self._sum_of_logits[tokens.end] - self._sum_of_logits[tokens.start]) / (tokens.end - tokens.start)

    def _evidence_of_tokens(self, spans: TextSpans) -> dict[str, np.ndarray]:
        tokens, logits = self._tokens(spans), self._logits
        beside = np.concatenate([[-np.inf], logits, [-np.inf]])
        highest_beside = np.maximum(beside[tokens.start], beside[tokens.end + 1])
        mean_logit, ranges = self._mean_logit(spans), np.column_stack([tokens.start, tokens.end]).ravel()
        of_span = self._sum_of_probs[tokens.end] - self._sum_of_probs[tokens.start]
        return {
            "mean_logit": mean_logit,
            "lowest_logit": np.minimum.reduceat(np.append(logits, np.inf), ranges)[::2],
            "lowest_edge_logit": np.minimum(logits[tokens.start], logits[tokens.end - 1]),
            # A span that is the whole context has nothing beside it.
            "highest_logit_beside": np.where(np.isfinite(highest_beside), highest_beside, logits.min()),
            "margin": mean_logit - self._best_elsewhere(tokens),
            "expected_f1": expected_f1(of_span, tokens.end - tokens.start, self._sum_of_probs[-1]) / self._best_f1,
        }

    def _best_elsewhere(self, tokens: TokenRanges) -> np.ndarray:
        """Return the highest mean logit of a span of the same length that shares no token."""
        means = range_sums(self._sum_of_logits, tokens.lengths) / tokens.lengths[:, None]
        # Column i: of those that begin before token i; of those that begin there or behind.
        nothing = np.full((len(means), 1), -np.inf)
        up_to = np.hstack([nothing, np.maximum.accumulate(means, axis=1)])
        from_here = np.hstack([np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1], nothing])
        before = up_to[tokens.which, (2 * tokens.start - tokens.end + 1).clip(min=0)]
        best = np.maximum(before, from_here[tokens.which, tokens.end])
        return np.where(np.isfinite(best), best, 0.0)

    def _evidence_of_question(self, spans: TextSpans) -> dict[str, np.ndarray]:
        match = self._match_of_word
        return {
            "sentence_match": np.maximum(match[spans.word_start], match[spans.word_end - 1]) - self._best_match,
            "nearness": spans.highest_of_words(self._nearness) - self._nearness.max(),
            "share_in_question": spans.sum_of_words(self._is_asked) / spans.num_words,
        }

    def _against_other_occurrences(self, spans: TextSpans, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compare spans with the other places where the same words stand; 0 where there is none."""
        against = {name: np.zeros(len(spans)) for name in ("margin_of_occurrence", "nearness_of_occurrence")}
        rows, before, behind = spans.other_places
        if len(rows):
            repeats = spans.repeats
            best = repeats.highest(self._mean_logit(repeats.spans), before, behind)
            nearest = repeats.highest(repeats.spans.highest_of_words(self._nearness), before, behind)
            against["margin_of_occurrence"][rows] = known["mean_logit"][rows] - best
            against["nearness_of_occurrence"][rows] = known["nearness"][rows] + self._nearness.max() - nearest
        return against

    def _against_takers(
        self,
        spans: TextSpans,
        known: dict[str, np.ndarray],
        takers: Sequence[tuple[Span, "ContextEvidence"]],
    ) -> dict[str, np.ndarray]:
        """Compare spans, as answers to this question, with the same as answers to the questions they belong to."""
        taken, closest = np.zeros(len(spans)), np.full(len(spans), -1)
        for number, (span, _) in enumerate(takers):
            rows, overlap = spans.overlap(span)
            is_closer = overlap > taken[rows]
            rows = rows[is_closer]
            taken[rows], closest[rows] = overlap[is_closer], number
        against = {"taken": taken, **{name: np.zeros(len(spans)) for name in ("logit_of_taker", "nearness_of_taker")}}
        own_logit, own_claim = known["mean_logit"], known["nearness"] + known["sentence_match"]
        for number in np.unique(closest[closest >= 0]).tolist():
            rows = np.flatnonzero(closest == number)
            logit, claim = takers[number][1]._standing(spans)
            against["logit_of_taker"][rows] = logit[rows] - own_logit[rows]
            against["nearness_of_taker"][rows] = claim[rows] - own_claim[rows]
        return against

    def _standing(self, spans: TextSpans) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean logit of spans as answers to this question, and the sum of nearness and sentence match."""
        # Every other question on the context asks for the same.
        if self._last_standing is None or self._last_standing[0] is not spans:
            known = self._evidence_of_question(spans)
            self._last_standing = spans, (self._mean_logit(spans), known["nearness"] + known["sentence_match"])
        return self._last_standing[1]
