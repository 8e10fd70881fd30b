"""The parameters of the notebook that finds label errors: names, types, ranges, defaults and help."""

import re
from pathlib import Path

from span_label_errors.data.sources import DEMO_ERRORS, read_known_errors
from span_label_errors.data.write import suffix_of
from span_label_errors.notebook.settings import LARGEST_SEED, File, Folder, Number, Parameters, field


class ReviewParameters(Parameters):
    """The parameters of `find_label_errors_in_span_classification_dataset.ipynb`."""

    outputs_dir: Folder = field("outputs", "where the first notebook wrote its files; this one adds its own")
    threshold: Number = field(0.5, "a label of a lower quality is an issue", ge=0, le=1)
    worst: int = field(100, "how many of the worst examples are exported for annotation tools", ge=1)
    seed: int = field(0, "everything random is derived from it", ge=0, le=LARGEST_SEED)
    known_errors: File | None = field(None, "a JSON list of objects with the id of each known error; demos have one")
    decisions: File | None = field(
        None, "what reviewers decided: Label Studio's or doccano's export, or the reviewed CSV"
    )

    def known_error_ids(self, dataset: str) -> list[str]:
        """Return the ids that `known_errors` lists, or those of the errors of an embedded data set."""
        file = self.known_errors or DEMO_ERRORS.get(dataset)
        return list(read_known_errors(file)) if file else []

    def corrected_files(self, source: str) -> tuple[Path, Path]:
        """Return where the corrected data set, in the source's form, and the list of changes go.

        If the source is a data set that was corrected there, they get the next number.
        """
        outputs_dir, number = Path(self.outputs_dir), 1
        path = Path(source)
        if path.is_absolute() and path.resolve().parent == outputs_dir:
            last_round = re.fullmatch(r"corrected(?:-([0-9]+))?(?:\.[a-z]+)?", path.resolve().name)
            number = int(last_round[1] or 1) + 1 if last_round else 1
        of_round = f"-{number}" if number > 1 else ""
        return outputs_dir / f"corrected{of_round}{suffix_of(source)}", outputs_dir / f"changes{of_round}.json"

    @staticmethod
    def apply_options(run: dict) -> dict:
        """Return what `apply_decisions` takes of how a run, whose `run.json` is given, has read its data."""
        names = {"answers": "answers", "on_invalid": "on_invalid", "revision": "dataset_revision"}
        return {to: run["parameters"][name] for to, name in names.items() if name in run["parameters"]}
