"""A thin wrapper around BERT for span classification: `QA` predicts, `QATrainer` trains.

>>> qa = QA()  # the embedded backbone
>>> QATrainer(qa, 384, {"O": 0, "ANS": 1}).train(dataset, "my_model", **EMBEDDED_RECIPE)
>>> pred_probs, tokens, labels = QA("my_model").predict(dataset[0])
"""

from span_label_errors.model.network import BertForSpanClassification
from span_label_errors.model.predictions import SpanPrediction
from span_label_errors.model.qa import QA
from span_label_errors.model.trainer import EMBEDDED_RECIPE, QATrainer, TrainingReport

__all__ = ["EMBEDDED_RECIPE", "QA", "BertForSpanClassification", "QATrainer", "SpanPrediction", "TrainingReport"]
