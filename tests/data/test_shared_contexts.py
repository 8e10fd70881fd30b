"""Contexts of which there is one object for all of their questions."""

import json

import pyarrow.parquet
import pytest
from conftest import make_example, twelve_examples
from datasets import Dataset, load_from_disk

from span_label_errors.data.shared_contexts import to_dataset, with_shared_contexts
from span_label_errors.data.squad import load_squad, squad_features

LONG = [f"Paris is {letter * 20_000}" for letter in "ab"]


def on_long_contexts() -> list[dict]:
    """Forty questions: short contexts, two long ones in turn, a short one among them."""
    contexts = ["Here", "There", *LONG * 18, "Here", LONG[0]]
    return [
        make_example(str(row), context, f"{row}?", *["Paris"] * ("P" in context))
        for row, context in enumerate(contexts)
    ]


def test_equal_contexts_become_one_object():
    names = ["Rome", "Oslo", "Rome"]
    examples = [{"id": str(row), "context": "".join(name)} for row, name in enumerate(map(list, names))]
    rome, oslo, again = with_shared_contexts([*examples])
    assert (rome, oslo, again) == tuple(examples)
    assert rome["context"] is again["context"] is not oslo["context"]
    assert examples[0]["context"] is not examples[2]["context"]  # those of the caller stay as they are
    strange = [None, 7, {"id": "a"}, {"context": ["b"]}, {"context": None}]
    assert list(with_shared_contexts(strange)) == strange


def test_data_set_is_as_from_a_list():
    for examples in (twelve_examples(), on_long_contexts()):
        found, expected = to_dataset(examples, squad_features()), Dataset.from_list(examples, squad_features())
        assert (found.to_list(), found.features, found.info) == (examples, expected.features, expected.info)
        assert found.data.schema.equals(expected.data.schema, check_metadata=True)
        assert found[1:4] == expected[1:4]
        assert found.select([3, 1]).to_list() == [examples[3], examples[1]]
        assert found.map(lambda row: {"length": len(row["context"])})["length"][3] == len(examples[3]["context"])


def test_saved_data_sets_have_one_fingerprint_if_their_content_is_the_same(tmp_path):
    def fingerprint(*contexts: str, question: str = "Which?") -> str:
        rows = [make_example(str(row), context, question) for row, context in enumerate(contexts)]
        to_dataset(rows, squad_features()).save_to_disk(tmp_path)
        return json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))["_fingerprint"]

    assert fingerprint("Rome", "Oslo") == fingerprint("Ro" + "me", "Oslo")
    others = [("Oslo", "Rome"), ("Rome", "Rome"), ("Rome",), ("RomeOslo", ""), ("Rome", "Oslo", "Oslo")]
    found = [fingerprint("Rome", "Oslo"), fingerprint("Rome", "Oslo", question="Where?")]
    found += [fingerprint(*contexts) for contexts in others]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet", "folder"])
def test_long_context_is_loaded_once(tmp_path, form):
    plain = Dataset.from_list(on_long_contexts(), squad_features())
    source = tmp_path / f"data.{form}"
    if form == "folder":
        plain.save_to_disk(source)
    elif form == "parquet":
        plain.to_parquet(source)
    else:
        plain.to_json(source, lines=form == "jsonl")
    loaded = load_squad(source)
    assert loaded.to_list() == on_long_contexts()
    # Two long contexts; 38 copies would be 760,000 bytes.
    assert 40_000 < loaded.data["context"].get_total_buffer_size() < 42_000
    contexts = {id(row["context"]) for row in with_shared_contexts(loaded)}
    assert len(contexts) == 4
    loaded.save_to_disk(tmp_path / "saved")
    assert load_from_disk(tmp_path / "saved").to_list() == on_long_contexts()
    loaded.to_parquet(tmp_path / "again.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "again.parquet").to_pylist() == on_long_contexts()
