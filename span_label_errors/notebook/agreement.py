"""Show how far several annotators agree."""

import pandas as pd

from span_label_errors.quality.agreement import annotator_agreement


def show_agreement(table: pd.DataFrame) -> pd.DataFrame | None:
    """Print how far annotators agree, and return a table of those who are named; None if there are none.

    Nothing is printed of a run without several annotators.

    Parameters
    ----------
    table : DataFrame
        `out_of_fold.parquet`.
    """
    if "given_annotator" not in table:
        return None
    found = annotator_agreement(table)
    if found.questions.empty:
        print("no question has several answers, so that nothing is known of how far annotators agree")
        return None
    print(
        f"{len(found.questions)} of {len(table)} questions have several answers: mean token F1 {found.f1:.2f}, "
        f"{found.questions['exact'].mean():.0%} of pairs the same, Krippendorff's alpha of words {found.alpha:.2f}"
    )
    return None if found.annotators.empty else found.annotators.set_index("annotator").round(3)
