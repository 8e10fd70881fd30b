"""What the notebooks call besides the library; each name is imported on its first use, as those of the library are."""

import importlib

_NAMES_OF_MODULE = {
    "agreement": ["show_agreement"],
    "duration": ["expected_duration"],
    "plots": ["plot_label_quality", "plot_losses", "plot_probabilities", "plot_rankings"],
    "review_settings": ["ReviewParameters"],
    "settings": ["source_path"],
    "show": ["compare_rankings", "how_many_wrong", "how_predicted", "show_answers", "visible", "worst_answers"],
    "token_issues": ["show_token_issues"],
    "training_settings": ["TrainingParameters"],
}


def __getattr__(name: str):
    for module, names in _NAMES_OF_MODULE.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
