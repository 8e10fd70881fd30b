"""What the notebooks call besides the library: their parameters, pictures, tables, and an estimate of the time."""

from span_label_errors.notebook.duration import StepClock, expected_seconds
from span_label_errors.notebook.plots import plot_label_quality, plot_losses, plot_probabilities, plot_rankings
from span_label_errors.notebook.settings import ReviewParameters, TrainingParameters, source_path
from span_label_errors.notebook.show import compare_rankings, show_answers, show_context, visible, worst_answers
from span_label_errors.notebook.token_issues import find_token_issues, show_token_issues, token_quality_scores

__all__ = [
    "ReviewParameters", "StepClock", "TrainingParameters", "compare_rankings", "expected_seconds", "find_token_issues",
    "plot_label_quality", "plot_losses", "plot_probabilities", "plot_rankings", "show_answers", "show_context",
    "show_token_issues", "source_path", "token_quality_scores", "visible", "worst_answers",
]  # fmt: skip
