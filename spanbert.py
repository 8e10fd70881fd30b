"""A thin wrapper around BERT for span classification: `QA` predicts, `QATrainer` trains.

>>> qa = QA()  # the embedded backbone
>>> QATrainer(qa, 384, {"O": 0, "ANS": 1}).train(dataset, "my_model", **EMBEDDED_RECIPE)
>>> pred_probs, tokens, labels = QA("my_model").predict(dataset[0])
"""

from predictions import SpanPrediction
from qa import QA
from qa_trainer import EMBEDDED_RECIPE, QATrainer, TrainingReport
from span_model import BertForSpanClassification

__all__ = ["EMBEDDED_RECIPE", "QA", "BertForSpanClassification", "QATrainer", "SpanPrediction", "TrainingReport"]
