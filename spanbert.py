"""A thin wrapper around BERT for span classification: `QA` predicts, `QATrainer` trains.

A `QA` is a model with its tokenizer. It reads an example as `[CLS] question [SEP] context [SEP]` and returns, for each of
the T tokens, one probability for each of the K classes. It has labels too, from the example's answers:

>>> from span_label_errors import load_squad
>>> examples = load_squad("demo")
>>> examples[5]["question"], examples[5]["answers"]["text"]
('Which European river exceeds the Danube in length?', ['Volga'])
>>> label_map = {"O": 0, "ANS": 1}
>>> qa = QA("embedded", label_map=label_map)  # or a folder, or "bert-base-cased" on the Hub
>>> pred_probs, tokens, labels = qa.predict(examples[5])  # a SpanPrediction
>>> pred_probs.shape, len(tokens), labels.shape  # (T, K), T, (T, K)
((120, 2), 120, (120, 2))
>>> tokens[:13]
['[CLS]', 'Which', 'European', 'river', 'exceeds', 'the', 'Danube', 'in', 'length', '?', '[SEP]', 'The', 'Danube']

Only context tokens are trained on, so cut at the first `[SEP]`. Or let `context_only` do it:

>>> context = slice(tokens.index("[SEP]") + 1, -1)
>>> tokens[context] == qa.predict(examples[5]).context_only().tokens
True
>>> [token for token, label in zip(tokens[context], labels[context]) if label[label_map["ANS"]]]
['Volga']

The head of `qa` is new, so its probabilities mean nothing yet. A `QATrainer` trains a copy, and saves it in a folder that
`QA` loads. It never changes `qa`, so each fold of a cross-validation starts from the same model:

>>> import tempfile
>>> trainer = QATrainer(qa, max_seq_length=384, label_map=label_map)
>>> with tempfile.TemporaryDirectory() as folder:
...     report = trainer.train(examples.select(range(10)), f"{folder}/model", **EMBEDDED_RECIPE)
...     trained = trainer.load(f"{folder}/model")  # or QA(f"{folder}/model")
...     prediction = trained.predict(examples[5]).context_only()
>>> report.num_windows  # longer contexts take several windows
10
>>> prediction.tokens[prediction.pred_probs[:, label_map["ANS"]].argmax()]
'Volga'
"""

from span_label_errors.model.network import BertForSpanClassification
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.qa import QA
from span_label_errors.model.trainer import EMBEDDED_RECIPE, QATrainer, TrainingReport

__all__ = ["EMBEDDED_RECIPE", "QA", "BertForSpanClassification", "QATrainer", "SpanPrediction", "TrainingReport"]
