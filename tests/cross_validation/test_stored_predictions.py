"""The files of a fold: records with their SHA-256, and predictions that are read when they are asked for."""

import copy
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.cross_validation.store import (
    FOLD_FILE,
    MODEL_FOLDER,
    TRAINING_FILE,
    data_fingerprint,
    fold_folder,
    fold_key,
    load_fold,
    load_training,
    save_fold,
    save_training,
)
from span_label_errors.cross_validation.stored_predictions import (
    StoredPredictions,
    read_predictions,
    save_predictions,
)
from span_label_errors.files import file_sha256
from span_label_errors.model.predictions import SpanPrediction

ARRAYS = ("pred_probs", "labels", "char_start", "char_end", "is_context")
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def prediction_of(context: str, seed: int) -> SpanPrediction:
    """A prediction with two classes for the words of a context."""
    spans = [match.span() for match in re.finditer(r"\S+", context)]
    rng = np.random.default_rng(seed)
    return SpanPrediction(
        rng.random((len(spans), 2), dtype=np.float32),
        [context[start:end] for start, end in spans],
        rng.integers(0, 2, (len(spans), 2)),
        char_start=np.array([start for start, _ in spans], dtype=np.int64),
        char_end=np.array([end for _, end in spans], dtype=np.int64),
        is_context=np.ones(len(spans), dtype=bool),
    )


def assert_same(found: SpanPrediction, expected: SpanPrediction) -> None:
    assert found.tokens == expected.tokens
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        assert (type(one), one.dtype, one.tolist()) == (np.ndarray, other.dtype, other.tolist())


def stored_fold(folder: Path, contexts: list[str], indices) -> tuple[StoredPredictions, list[SpanPrediction]]:
    """Save predictions for contexts; return what is loaded of them, and what was saved."""
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_bytes(b"abc")
    expected = [prediction_of(context, seed) for seed, context in zip(indices, contexts, strict=True)]
    save_predictions(folder, indices, expected)
    save_fold(folder, {"key": "k", "validation_indices": list(indices), "class": "Stra\u00dfe"})
    return load_fold(folder, "k", [{"context": context} for context in contexts]).predictions, expected


CONTEXTS = ["Straße, naß 😀", "of Rome", "", "a b c d", "of Rome", "z"]


@pytest.fixture
def stored(tmp_path) -> tuple[StoredPredictions, list[SpanPrediction]]:
    return stored_fold(tmp_path / "fold", CONTEXTS, range(6))


# --- one fold -------------------------------------------------------------------------------------


def test_fold_is_read_as_it_was_written(tmp_path, stored):
    found, expected = stored
    assert len(found) == 6
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert found[0].tokens == ["Straße,", "naß", "😀"]
    assert (found[2].tokens, found[2].pred_probs.shape) == ([], (0, 2))
    # As a person would split the arrays.
    folder = tmp_path / "fold" / "predictions"
    ends = np.cumsum(np.load(folder / "num_tokens.npy"))
    assert np.load(folder / "pred_probs.npy")[ends[2] : ends[3]].tolist() == expected[3].pred_probs.tolist()
    assert np.load(folder / "example_index.npy").tolist() == [0, 1, 2, 3, 4, 5]
    text = (tmp_path / "fold" / FOLD_FILE).read_text(encoding="utf-8")
    assert "Stra\u00dfe" in text  # a person can read it
    files = json.loads(text)["files"]
    assert files.pop("weights") == SHA256_OF_ABC
    assert files == {f"predictions/{file.name}": file_sha256(file) for file in folder.iterdir()}


def test_error_on_the_way_does_not_end_an_iteration(stored, monkeypatch):
    monkeypatch.setattr("span_label_errors.cross_validation.stored_predictions.text_pieces", lambda *args: [][0])
    with pytest.raises(IndexError):
        list(stored[0])


def test_arrays_of_an_item_are_its_own(stored):
    found, expected = stored
    item = found[0]
    for name in ARRAYS:
        array = getattr(item, name)
        assert array.flags.aligned and array.flags.writeable
        array[:] = 0
    item.tokens.clear()
    assert_same(found[0], expected[0])


@pytest.mark.parametrize(
    "copied", [lambda value: value, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_files_may_be_removed_while_predictions_are_in_use(tmp_path, stored, copied):
    found, expected = copied(stored[0]), stored[1]
    for file in (tmp_path / "fold" / "predictions").iterdir():
        file.unlink()
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_maps_give_back_what_was_read(tmp_path):
    """Of 60 MB that are read one after the other, most is given back on the way."""
    contexts = [" ".join(["w"] * 5_000)] * 250
    found, _ = stored_fold(tmp_path / "fold", contexts, list(range(250)))
    file = tmp_path / "fold" / "predictions" / "labels.npy"

    def resident_bytes() -> int:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(file.resolve()))[1]
        return 1024 * int(re.search(r"Rss:\s+(\d+) kB", maps)[1])

    most = 0
    for number, prediction in enumerate(found):
        assert len(prediction.tokens) == 5_000
        if number % 10 == 0:
            most = max(most, resident_bytes())
    assert 0 < most < file.stat().st_size / 2


# --- all folds ------------------------------------------------------------------------------------


@cases(60)
@given(fold=st.lists(st.integers(0, 3), min_size=1, max_size=12), part=st.slices(12), data=st.data())
def test_predictions_of_folds_are_in_the_order_of_the_data(fold, part, data):
    contexts = [f"{index} of {of}" for index, of in enumerate(fold)]
    # In whatever order a fold has its examples.
    indices = [data.draw(st.permutations([i for i, of in enumerate(fold) if of == k])) for k in range(4)]
    arrays = {"pred_probs": np.zeros((36, 2)), "labels": np.zeros((36, 2)), "char_start": np.tile([0, 2, 5], 12)}
    arrays["char_end"] = arrays["char_start"] + 1
    found = StoredPredictions.in_order(
        [
            StoredPredictions.of_fold(
                [contexts[i] for i in of],
                {**arrays, "num_tokens": np.full(len(of), 3), "offsets_start": 3 * np.arange(len(of))},
            )
            for of in indices
        ],
        [np.array(of, dtype=np.int64) for of in indices],
    )
    # Of each text the number, the "o" and the number of the fold.
    expected = [[context[0], context[2], context[5]] for context in contexts]
    assert [prediction.tokens for prediction in found] == expected
    assert [prediction.tokens for prediction in found[part]] == expected[part]
    assert isinstance(found[part], list)
    for index in range(-len(fold), len(fold)):
        assert found[index].tokens == found[np.int64(index)].tokens == expected[index]
    for index in (-len(fold) - 1, len(fold)):
        with pytest.raises(IndexError):
            found[index]


# --- records --------------------------------------------------------------------------------------


def test_hashes_and_names_stay_what_they_are():
    """Other ones would make every fold that was kept stale."""
    examples = [{"b": 2, "a": "\u00e9"}, {"a": 1}]
    assert data_fingerprint(examples) == "d921f4c27827d524bfadac1dd6002d18614904d689e1f05dcccaa70d11338994"
    assert data_fingerprint(examples[::-1]) != data_fingerprint(examples)
    assert (
        fold_key({"seed": 1, "code": {"b": 2, "a": None}})
        == "2519c53d6bfbe7940a14bcdf06c034402ccb3228de7952ce00a2f0671438cd39"
    )
    assert fold_folder(Path("folds"), 1, 3, "0123456789abcdef") == Path("folds/fold_1_of_3-0123456789ab")


@pytest.fixture
def folder(tmp_path) -> Path:
    """An unfinished fold, of a model of two files, that is about to get its name."""
    model = tmp_path / MODEL_FOLDER
    (model / "part").mkdir(parents=True)
    (model / "weights").write_bytes(b"abc")
    (model / "part" / "more").write_bytes(b"")
    save_training(tmp_path, "k", {"note": "Stra\u00dfe"})
    return tmp_path


def test_trained_model_is_taken_without_what_stands_beside_it(folder):
    record = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    assert record["files"] == {"part/more": SHA256_OF_NOTHING, "weights": SHA256_OF_ABC}
    for name in ("left", "part/.weights.partial"):
        (folder / MODEL_FOLDER / name).write_bytes(b"left over")
    assert load_training(folder, "k") == {"note": "Stra\u00dfe"}
    files = [file for file in (folder / MODEL_FOLDER).rglob("*") if file.is_file()]
    assert sorted(file.name for file in files) == ["more", "weights"]


def sealed(**changes) -> bytes:
    """A record as whoever forges it would write it."""
    record = {"key": "k", "training": {}, "files": {}, **changes}
    return json.dumps({**record, "sha256": fold_key(record)}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no training.json: the fold was not finished"),
        (b"{", "training.json cannot be read: Expecting property name"),
        (b'{"key": "\xff"}', "training.json cannot be read: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "training.json cannot be read: maximum recursion depth exceeded"),
        (b"[]", "training.json is of another configuration"),
        (sealed(key="K"), "training.json is of another configuration"),
        (
            sealed().replace(b"{}", b'{"a": 1}', 1),
            "training.json is damaged: its SHA-256 is not the one of its content",
        ),
        (sealed(files={"part": ""}), "part is missing"),
        (sealed(files={"weights": ""}), "weights is damaged: its SHA-256 is not the one in training.json"),
        (sealed(files={"part/../../x": ""}), "training.json lists part/../../x, which is not in the fold's"),
        (sealed(files={"/x": ""}), "training.json lists /x, which is not in the fold's folder"),
    ],
)
def test_training_whose_record_does_not_fit_is_refused(folder, content, message):
    if content is None:
        (folder / TRAINING_FILE).unlink()
    else:
        (folder / TRAINING_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_training(folder, "k")


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])])
@pytest.mark.parametrize("name", ["num_tokens", "pred_probs"])
def test_other_and_damaged_predictions_are_refused(tmp_path, name, damage):
    stored_fold(tmp_path / "fold", ["a b", "c"], [4, 7])
    with pytest.raises(ValueError, match=r"^predictions are of other examples than fold\.json"):
        load_fold(tmp_path / "fold", "k", [{"context": "a b"}])
    damage(tmp_path / "fold" / "predictions" / f"{name}.npy")
    with pytest.raises(ValueError, match=rf"^predictions/{name}\.npy is "):
        load_fold(tmp_path / "fold", "k", [{"context": "a b"}, {"context": "c"}])
    with pytest.raises(ValueError, match=r"^predictions cannot be read: "):
        read_predictions(tmp_path / "fold")


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("as_array", [True, False])
def test_pickle_is_never_read(tmp_path, as_array):
    stored_fold(tmp_path / "fold", ["a b", "c"], [4, 7])
    file = tmp_path / "fold" / "predictions" / "labels.npy"
    if as_array:
        np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"^predictions cannot be read: "):
        read_predictions(tmp_path / "fold")
