"""What the tutorial imports for saving and showing; the rest are names that the notebooks use."""

from npz import read_npz, to_dict, write_npz
from show import display_issues, find_token_issues, show_context, token_quality_scores, visible

__all__ = [
    "display_issues", "find_token_issues", "read_npz", "show_context", "to_dict", "token_quality_scores", "visible",
    "write_npz",
]  # fmt: skip
