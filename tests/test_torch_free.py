"""Judging answers must not wait for what trains models."""

import subprocess
import sys

from conftest import ROOT

JUDGING = "answer_checks, answer_model, context_text, expected_f1, label_quality, planted_errors, quality_scores, words"
HEAVY = ("torch", "transformers", "datasets", "torchmetrics", "cleanlab")


def test_judging_loads_no_library_for_training():
    code = f"import sys, {JUDGING}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
