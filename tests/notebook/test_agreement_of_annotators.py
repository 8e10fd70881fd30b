"""What a notebook says of several annotators' agreement."""

import pandas as pd

from span_label_errors import notebook


def table(*names: str) -> pd.DataFrame:
    """One question on "the river Nera", with one answer a name: "Nera", and from the second on "river Nera"."""
    texts = ["Nera", *["river Nera"] * (len(names) - 1)]
    return pd.DataFrame(
        {
            "id": ["a"], "context": ["the river Nera"], "given_label": [["ANS"] * len(names)],
            "given_answer": [texts], "given_start": [["the river Nera".index(text) for text in texts]],
            "given_annotator": [list(names)],
        }
    )  # fmt: skip


def test_agreement_of_named_annotators(capsys):
    shown = notebook.show_agreement(table("ann", "bob", "cy"))
    # Pairs: 2/3, 2/3 and 1. Of nine values, five are inside; "river" is in two of three answers: 2 * 2 * 1 / 2 = 2.
    # Alpha: 1 - 2 / (2 * 5 * 4 / 8).
    assert capsys.readouterr().out == (
        "1 of 1 questions have several answers: mean token F1 0.78, 33% of pairs the same, "
        "Krippendorff's alpha of words 0.60\n"
    )
    assert shown.index.tolist() == ["ann", "bob", "cy"]
    assert shown["f1"].tolist() == [0.667, 0.833, 0.833]


def test_nothing_is_shown_where_there_is_nothing_to_show(capsys):
    assert notebook.show_agreement(table("ann", "bob").drop(columns="given_annotator")) is None
    assert capsys.readouterr().out == ""
    assert notebook.show_agreement(table("ann")) is None
    assert capsys.readouterr().out.startswith("no question has several answers")
    assert notebook.show_agreement(table("", "")) is None
    assert "Krippendorff" in capsys.readouterr().out
