"""Find the wrong answers in a question-answering or span-labelling data set.

A notebook needs these names, `spanbert` and the tutorial's utilities. Each name is imported on its first use, so that
finding errors and reviewing them never load torch.
"""

import importlib

_MODULE_OF = {
    "load_squad": "data.squad",
    "make_splits": "cross_validation.splits",
    "out_of_fold_predictions": "cross_validation.out_of_fold",
    "write_outputs": "results.write",
    "read_outputs": "results.read",
    "find_label_errors": "quality.label_errors",
    "span_label_quality": "quality.scores",
    "annotator_agreement": "quality.agreement",
    "write_review_files": "review.write",
    "read_decisions": "review.decisions",
    "known_answers": "review.decided",
    "kept_decisions": "review.kept_decisions",
    "keep_decisions": "review.kept_decisions",
    "apply_decisions": "review.corrections",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
