"""The files of a fold: records that vouch for them, and predictions that are read when they are asked for."""

import copy
import json
import pickle
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from span_label_errors.cross_validation.out_of_fold import OutOfFold
from span_label_errors.cross_validation.splits import Split
from span_label_errors.cross_validation.store import (
    FOLD_FILE,
    MODEL_FOLDER,
    TRAINING_FILE,
    data_fingerprint,
    file_sha256,
    fold_folder,
    fold_key,
    load_fold,
    load_training,
    read_predictions,
    save_fold,
    save_training,
)
from span_label_errors.cross_validation.stored_predictions import GatheredPredictions, StoredPredictions, map_arrays
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
    save_fold(folder, {"key": "k", "validation_indices": list(indices), "class": "Stra\u00dfe"}, expected)
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


def test_fold_of_one_context_without_tokens(tmp_path):
    (found,), (expected,) = stored_fold(tmp_path / "fold", ["  "], [0])
    assert_same(found, expected)


@cases(100)
@given(index=st.integers(-9, 9), part=st.slices(7))
def test_positions_are_those_of_a_list(index, part):
    with tempfile.TemporaryDirectory() as folder:
        found, expected = stored_fold(Path(folder), CONTEXTS, range(6))
    assert isinstance(found[part], list)
    for one, other in zip(found[part], expected[part], strict=True):
        assert_same(one, other)
    if -6 <= index < 6:
        assert_same(found[index], expected[index])
        assert_same(found[np.int64(index)], expected[index])
    else:
        with pytest.raises(IndexError):
            found[index]


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
def test_gathered_predictions_are_in_the_order_of_the_data(fold, part, data):
    expected = [prediction_of(f"{index} of {of}", index) for index, of in enumerate(fold)]
    # In whatever order a fold has its examples.
    indices = [data.draw(st.permutations([i for i, of in enumerate(fold) if of == k])) for k in range(4)]
    found = GatheredPredictions(
        [[expected[i] for i in of_fold] for of_fold in indices], [np.array(of, dtype=np.int64) for of in indices]
    )
    assert len(found) == len(fold)
    assert [*map(id, found)] == [*map(id, expected)]
    assert [*map(id, found[part])] == [*map(id, expected[part])]
    for index in range(-len(fold), len(fold)):
        assert found[index] is expected[index]
    for index in (-len(fold) - 1, len(fold)):
        with pytest.raises(IndexError):
            found[index]


@pytest.mark.parametrize(
    ("lengths", "indices"),
    [
        ([2, 1], [[0, 1], [1]]),  # one twice
        ([2, 1], [[0, 1], [3]]),  # one never
        ([2, 1], [[0, -1], [1]]),
        ([1, 2], [[0, 1], [2]]),  # predictions of other folds
        ([2, 0, 1], [[0, 1], [2]]),
    ],
)
def test_folds_that_are_no_partition_are_refused(lengths, indices):
    item = prediction_of("a", 0)
    with pytest.raises(ValueError, match="expected each example to be held out by one fold"):
        GatheredPredictions([[item] * length for length in lengths], [np.array(of_fold) for of_fold in indices])


def test_pickled_out_of_fold_is_whole(tmp_path):
    indices = [[1, 3, 4], [0, 2, 5]]
    of_folds, expected = [], {}
    for number, of_fold in enumerate(indices):
        found, saved = stored_fold(tmp_path / str(number), [CONTEXTS[i] for i in of_fold], of_fold)
        of_folds.append(found)
        expected |= dict(zip(of_fold, saved, strict=True))
    splits = [Split(np.array(indices[1 - k]), np.array(indices[k])) for k in (0, 1)]
    gathered = GatheredPredictions(of_folds, [split.validation_indices for split in splits])
    out_of_fold = OutOfFold(gathered, np.array([1, 0, 1, 0, 0, 1]), splits, [], {"O": 0, "ANS": 1})
    for index, prediction in enumerate(pickle.loads(pickle.dumps(out_of_fold)).predictions):
        assert_same(prediction, expected[index])


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
def unfinished(tmp_path):
    """An unfinished fold whose model of two files is vouched for."""
    model = tmp_path / ".fold.unfinished" / MODEL_FOLDER
    (model / "part").mkdir(parents=True)
    (model / "weights").write_bytes(b"abc")
    (model / "part" / "more").write_bytes(b"")
    save_training(model.parent, "k", {"note": "Stra\u00dfe"})
    return model.parent


def test_trained_model_is_taken_without_what_stands_beside_it(unfinished):
    record = json.loads((unfinished / TRAINING_FILE).read_text(encoding="utf-8"))
    assert record["files"] == {"part/more": SHA256_OF_NOTHING, "weights": SHA256_OF_ABC}
    for name in ("left", "part/.weights.partial"):
        (unfinished / MODEL_FOLDER / name).write_bytes(b"left over")
    assert load_training(unfinished, "k") == {"note": "Stra\u00dfe"}
    files = [file for file in (unfinished / MODEL_FOLDER).rglob("*") if file.is_file()]
    assert sorted(file.name for file in files) == ["more", "weights"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no training.json: the fold was not finished"),
        (b"{", "training.json cannot be read: Expecting property name"),
        (b'{"key": "\xff"}', "training.json cannot be read: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "training.json cannot be read: maximum recursion depth exceeded"),
        (b"[]", "training.json is of another configuration"),
        (b'{"key": "K", "files": {}}', "training.json is of another configuration"),
        (b'{"key": "k", "files": ["weights"]}', "training.json does not list the fold's files"),
        (b'{"key": "k", "files": {"part": ""}}', "part is missing"),
        (b'{"key": "k", "files": {"weights": ""}}', "weights is damaged: its SHA-256 is not the one in training.json"),
        (b'{"key": "k", "files": {}}', "training.json is damaged: its content is not what its own SHA-256"),
        (
            b'{"key": "k", "files": {"part/../../x": ""}}',
            "training.json lists part/../../x, which is not in the fold's",
        ),
        (b'{"key": "k", "files": {"/x": ""}}', "training.json lists /x, which is not in the fold's folder"),
    ],
)
def test_training_that_its_record_does_not_vouch_for_is_refused(unfinished, content, message):
    if content is None:
        (unfinished / TRAINING_FILE).unlink()
    else:
        (unfinished / TRAINING_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_training(unfinished, "k")


# --- files that are not as they should be ---------------------------------------------------------


def vouch(folder: Path, **changes) -> None:
    """Write the record of a fold anew, so that it vouches for what is there."""
    report = json.loads((folder / FOLD_FILE).read_text(encoding="utf-8"))
    report["files"] |= {f"predictions/{file.name}": file_sha256(file) for file in (folder / "predictions").iterdir()}
    (folder / FOLD_FILE).write_text(json.dumps({**report, **changes}), encoding="utf-8")


def refusal(folder: Path, contexts=("a b", "c")) -> str:
    with pytest.raises(ValueError, match=r"json|predictions") as error:
        load_fold(folder, "k", [{"context": context} for context in contexts])
    return str(error.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A fold of two examples, of two tokens and of one."""
    stored_fold(tmp_path / "fold", ["a b", "c"], [4, 7])
    return tmp_path / "fold"


def test_fold_of_other_examples_is_refused(folder):
    assert refusal(folder, ["a b"]) == "predictions are of other examples than fold.json"
    vouch(folder, validation_indices=[4, 8])
    assert refusal(folder) == "predictions are of other examples than fold.json"


@pytest.mark.parametrize("files", [None, {}, {"weights": SHA256_OF_ABC}])
def test_fold_that_does_not_list_its_predictions_is_refused(folder, files):
    vouch(folder, files=files)
    assert refusal(folder) == "fold.json does not list the fold's files"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        *[
            (name, np.ones((5, 2), dtype=np.int64), "the arrays differ in length")
            for name in ("example_index", "num_tokens", "char_start", "char_end", "pred_probs", "labels")
        ],
        ("num_tokens", np.array([2, 2]), "the arrays differ in length"),
        ("num_tokens", np.array([2**63 - 1, 2**63 - 1]), "the arrays differ in length"),
        *[
            (name, np.array(values), "expected counts of tokens and offsets as integers")
            for name, values in (
                ("num_tokens", [2.0, 1.0]), ("num_tokens", ["2", "1"]), ("num_tokens", [4, -1]),
                ("num_tokens", [[2], [1]]), ("char_start", [0.0, 8.0, 3.0]), ("char_start", [[0], [8], [3]]),
                ("char_end", ["a", "b", "c"]), ("pred_probs", [0.0] * 3), ("labels", [[[0], [0]]] * 3),
            )
        ],
    ],
)  # fmt: skip
def test_arrays_that_are_no_predictions_are_refused(folder, name, array, message):
    np.save(folder / "predictions" / f"{name}.npy", array)
    vouch(folder)
    assert refusal(folder).startswith(f"predictions cannot be read: {message}")


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("as_array", [True, False])
def test_pickle_is_never_read(folder, as_array):
    file = folder / "predictions" / "labels.npy"
    if as_array:
        np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(pickle.dumps(Trap()))
    vouch(folder)
    assert refusal(folder).startswith("predictions cannot be read: labels.npy: ")


def test_arrays_are_mapped_and_cannot_be_written(tmp_path):
    arrays = [np.arange(6), np.asfortranarray(np.arange(6, dtype=">f4").reshape(3, 2)), np.array(7), np.zeros((0, 3))]
    for array in arrays:
        np.save(tmp_path / "a.npy", array)
        found = map_arrays({"a": tmp_path / "a.npy"})["a"]
        assert (found.dtype, found.shape, found.tolist()) == (array.dtype, array.shape, array.tolist())
        with pytest.raises(ValueError, match="read-only"):
            found[...] = 0


def header(shape: tuple) -> bytes:
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2**62,), (2**40, 2**40), (-2,), (-1, -2), (10**6,)])
def test_array_that_is_longer_than_its_file_is_refused(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(header((2,)) + bytes(16))
    assert map_arrays({"a": tmp_path / "a.npy"})["a"].tolist() == [0, 0]
    (tmp_path / "a.npy").write_bytes(header(shape) + bytes(16))
    with pytest.raises(ValueError, match=r"^a.npy: "):
        map_arrays({"a": tmp_path / "a.npy"})


@cases(300)
@given(
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
    keep=st.integers(0, 400),
)
def test_damaged_array_is_refused_or_lies_within_its_file(changes, keep):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npy")
        np.save(path, np.arange(6))
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[place % len(content)] = value
        path.write_bytes(content[:keep])
        try:
            found = map_arrays({"a": path})["a"]
        except ValueError:
            return
        assert found.nbytes <= len(content)
        found.tobytes()


def test_predictions_that_are_gone_are_missed(folder):
    (folder / "predictions" / "char_end.npy").unlink()
    assert refusal(folder) == "predictions/char_end.npy is missing"
    with pytest.raises(ValueError, match=r"^predictions cannot be read: char_end.npy: "):
        read_predictions(folder)
