"""Made-up data with SQuAD's distributions of lengths, and untrained BERTs to read it."""

import json
import re
from pathlib import Path

import numpy as np

from span_label_errors.data.sources import DEMO_PATH

# Read off SQuAD v1.1: 4.6 questions a paragraph, 43 paragraphs an article.
_QUESTIONS = {1: 0.03, 2: 0.07, 3: 0.18, 4: 0.2, 5: 0.45, 8: 0.02, 12: 0.03, 16: 0.02}
_PARAGRAPHS_OF_ARTICLE = 43
# (median, deviation of the logarithm, least, most), in words. Sentences stay whole, so contexts get a little longer.
_CONTEXT, _SENTENCE, _ANSWER, _QUESTION = (102, 0.42, 20, 640), (20, 0.4, 4, 60), (2, 0.85, 1, 40), (9, 0.3, 3, 30)
_ASKING = ("What", "Who", "When", "Where", "How many", "Which", "Why")
_SHARE_OF_DEMO = 0.15


class TextMaker:
    """Makes paragraphs and questions of a backbone's words, the frequent ones often, and of the demo's sentences.

    Parameters
    ----------
    vocabulary : sequence of str
        Pieces of a tokenizer, frequent ones first.
    seed : int
    """

    def __init__(self, vocabulary: list[str], seed: int = 0):
        self._rng = np.random.default_rng(seed)
        whole = [piece for piece in vocabulary if re.fullmatch("[a-z]{2,}", piece)]
        # Rare words of several tokens.
        joined = self._rng.permutation(whole)
        self._words = np.array([*whole, *(f"{a}{b[:4]}" for a, b in zip(joined[::2], joined[1::2], strict=False))])
        weight = 1 / (np.arange(len(self._words)) + 2.7)
        self._share = np.cumsum(weight / weight.sum())
        self._demo = [
            sentence for article in json.loads(DEMO_PATH.read_text(encoding="utf-8"))["data"]
            for paragraph in article["paragraphs"]
            for sentence in re.split(r"(?<=[.!?])\s+", paragraph["context"])
        ]  # fmt: skip

    def _length(self, median: float, deviation: float, least: int, most: int) -> int:
        return int(np.clip(round(median * np.exp(deviation * self._rng.standard_normal())), least, most))

    def _some_words(self, count: int) -> list[str]:
        drawn = self._words[np.searchsorted(self._share, self._rng.random(count)).clip(max=len(self._words) - 1)]
        kind = self._rng.random(count)
        numbers = self._rng.integers(1, 2000, count)
        return [
            str(number) if share < 0.03 else word.capitalize() if share < 0.15 else str(word)
            for word, share, number in zip(drawn, kind, numbers, strict=True)
        ]

    def _sentence(self) -> str:
        if self._rng.random() < _SHARE_OF_DEMO:
            return self._demo[self._rng.integers(len(self._demo))]
        words = self._some_words(self._length(*_SENTENCE))
        commas = (self._rng.random(len(words)) < 0.06).tolist()
        text = " ".join(word + "," * comma for word, comma in zip(words, commas, strict=True))
        return text[0].upper() + text[1:].rstrip(",") + "."

    def context(self) -> str:
        """Return a paragraph."""
        wanted, sentences, num_words = self._length(*_CONTEXT), [], 0
        while num_words < wanted:
            sentences.append(self._sentence())
            num_words += sentences[-1].count(" ") + 1
        return " ".join(sentences)

    def question(self, context: str) -> tuple[str, dict]:
        """Return a question and its answer: some words of a sentence, and a question with others of them."""
        words = [match.span() for match in re.finditer(r"\w+(?:['’-]\w+)*", context)]
        length = min(self._length(*_ANSWER), len(words))
        first = int(self._rng.integers(len(words) - length + 1))
        char_start, char_end = words[first][0], words[first + length - 1][1]
        near = [context[start:end] for start, end in words[max(0, first - 6) : first] + words[first + length :][:6]]
        count = self._length(*_QUESTION)
        chosen = [*self._rng.permutation(near)[: count // 2].tolist(), *self._some_words(count - count // 2)]
        text = f"{_ASKING[self._rng.integers(len(_ASKING))]} {' '.join(chosen)}?"
        return text, {"text": context[char_start:char_end], "answer_start": char_start}

    def num_questions(self) -> int:
        """Return how many questions a paragraph has."""
        return int(self._rng.choice(list(_QUESTIONS), p=list(_QUESTIONS.values())))


def write_squad(path: Path, num_examples: int, vocabulary: list[str], seed: int = 0) -> None:
    """Write a SQuAD file; a smaller one is the beginning of a larger one."""
    made, maker, data = 0, TextMaker(vocabulary, seed), []
    while made < num_examples:
        if not data or len(data[-1]["paragraphs"]) == _PARAGRAPHS_OF_ARTICLE:
            data.append({"title": f"Article {len(data)}", "paragraphs": []})
        context, qas = maker.context(), []
        for _ in range(min(maker.num_questions(), num_examples - made)):
            question, answer = maker.question(context)
            qas.append({"id": f"{made:024x}", "question": question, "answers": [answer]})
            made += 1
        data[-1]["paragraphs"].append({"context": context, "qas": qas})
    path.write_text(json.dumps({"version": "1.1", "data": data}, ensure_ascii=False), encoding="utf-8")


def write_untrained_bert(folder: Path, tokenizer=None, **sizes: int) -> list[str]:
    """Write a BERT of random weights and a tokenizer; return its vocabulary.

    Parameters
    ----------
    folder : Path
    tokenizer : transformers.PreTrainedTokenizerFast, optional
        The embedded backbone's by default.
    **sizes
        Fields of `transformers.BertConfig`; those of BERT base by default.
    """
    import torch
    from transformers import BertConfig, BertModel

    if tokenizer is None:
        from span_label_errors.model.checkpoints import resolve_checkpoint
        from span_label_errors.model.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(resolve_checkpoint("embedded-backbone"))
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes), add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return vocabulary_of(tokenizer)


def vocabulary_of(tokenizer) -> list[str]:
    """Return a tokenizer's pieces in the order of their ids, which in BERT's is about that of their frequency."""
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
