"""What the tutorial imports for saving and showing; the rest are names that the notebooks use."""

from span_label_errors.notebook.show import show_context, visible
from span_label_errors.notebook.token_issues import display_issues, find_token_issues, token_quality_scores
from span_label_errors.results.npz import read_npz, to_dict, write_npz

__all__ = [
    "display_issues", "find_token_issues", "read_npz", "show_context", "to_dict", "token_quality_scores", "visible",
    "write_npz",
]  # fmt: skip
