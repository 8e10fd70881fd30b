"""A thin wrapper around encoders for span classification: `QA` predicts, `QATrainer` trains.

A `QA` is a model with its tokenizer. It reads an example as `[CLS] question [SEP] context [SEP]`, and predicts for each
of these T tokens a probability for each of the K classes. The labels come from the example's answers:

>>> from span_label_errors import load_squad
>>> example = load_squad("demo")[8]
>>> example["question"], example["answers"]
('Which country is polonium named after?', {'text': ['Poland'], 'answer_start': [378]})
>>> label_map = {"O": 0, "ANS": 1}
>>> qa = QA("embedded", label_map=label_map)  # or a folder, or "roberta-base" on the Hub
>>> pred_probs, tokens, labels = qa.predict(example)  # a SpanPrediction
>>> pred_probs.shape, len(tokens), labels.shape  # (T, K), T, (T, K)
((127, 2), 127, (127, 2))

Only context tokens have labels that mean something, so cut at the first `[SEP]`, as `SpanPrediction.context_only` does:

>>> context = slice(tokens.index("[SEP]") + 1, -1)
>>> tokens[context] == qa.predict(example).context_only().tokens
True
>>> [token for token, label in zip(tokens[context], labels[context]) if label[label_map["ANS"]]]
['Poland']

The embedded model is a reader: it was trained on other data, and finds the answer as it is. A checkpoint such as
"roberta-base" has no head yet, and its probabilities mean nothing before it is trained:

>>> qa.has_head
True
>>> tokens[context][pred_probs[context, label_map["ANS"]].argmax()]
'Poland'

A `QATrainer` trains a copy, and saves it in a folder. It never changes `qa`, so each fold of a cross-validation starts
from the same model:

>>> import tempfile
>>> trainer = QATrainer(qa, max_seq_length=384, label_map=label_map)
>>> with tempfile.TemporaryDirectory() as folder:
...     report = trainer.train([example] * 8, f"{folder}/model", **EMBEDDED_RECIPE)  # a TrainingReport
...     trained = trainer.load(f"{folder}/model")  # or QA(f"{folder}/model")
...     pred_probs, tokens, labels = trained.predict(example).context_only()
>>> report.num_windows  # longer contexts take several windows
8
>>> tokens[pred_probs[:, label_map["ANS"]].argmax()]
'Poland'
"""

from span_label_errors.imports import heavy_imports

with heavy_imports():
    from span_label_errors.model.network import BertForSpanClassification
    from span_label_errors.model.predictions import SpanPrediction
    from span_label_errors.model.qa import QA
    from span_label_errors.model.recipes import BACKBONE_RECIPE, EMBEDDED_RECIPE, PRETRAINED_RECIPE
    from span_label_errors.model.trainer import QATrainer, TrainingReport

__all__ = [
    "BACKBONE_RECIPE",
    "EMBEDDED_RECIPE",
    "PRETRAINED_RECIPE",
    "QA",
    "BertForSpanClassification",
    "QATrainer",
    "SpanPrediction",
    "TrainingReport",
]
