"""Predictions that are read from a fold's file when they are asked for."""

import copy
import pickle
import re
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from cross_validation import OutOfFold
from fold_store import PREDICTIONS_FILE, load_fold, read_predictions, save_fold
from predictions import SpanPrediction
from splits import Split
from stored_predictions import GatheredPredictions, StoredPredictions, map_npz

ARRAYS = ("pred_probs", "labels", "char_start", "char_end", "is_context")
WORD = re.compile(r"\S+")


def prediction_of(context: str, seed: int, order: str = "C") -> SpanPrediction:
    """A prediction with two classes for the words of a context."""
    spans = [match.span() for match in WORD.finditer(context)]
    rng = np.random.default_rng(seed)
    return SpanPrediction(
        np.array(rng.random((len(spans), 2)), dtype=np.float32, order=order),
        [context[start:end] for start, end in spans],
        np.array(rng.integers(0, 2, (len(spans), 2)), order=order),
        char_start=np.array([start for start, _ in spans], dtype=np.int64),
        char_end=np.array([end for _, end in spans], dtype=np.int64),
        is_context=np.ones(len(spans), dtype=bool),
    )


def assert_same(found: SpanPrediction, expected: SpanPrediction) -> None:
    assert found.tokens == expected.tokens
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one.dtype, one.tolist()) == (other.dtype, other.tolist())


def stored_fold(folder: Path, contexts: list[str], indices, order: str = "C"):
    """Save predictions for contexts; return what is loaded of them, and what was saved."""
    folder.mkdir(exist_ok=True)
    expected = [prediction_of(context, seed, order) for seed, context in zip(indices, contexts, strict=True)]
    save_fold(folder, {"key": "k", "validation_indices": list(indices)}, expected)
    return load_fold(folder, "k", [{"context": context} for context in contexts]).predictions, expected


CONTEXTS = ["Straße, naß 😀", "of Rome", "", "a b c d", "of Rome", "z"]


@pytest.fixture
def stored(tmp_path) -> tuple[StoredPredictions, list[SpanPrediction]]:
    return stored_fold(tmp_path / "fold", CONTEXTS, range(6))


# --- one fold -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_stored_predictions_are_what_was_saved(tmp_path, order):
    found, expected = stored_fold(tmp_path / "fold", CONTEXTS, range(6), order)
    assert isinstance(found, StoredPredictions)
    assert len(found) == 6
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert found[0].tokens == ["Straße,", "naß", "😀"]
    assert (found[2].tokens, found[2].pred_probs.shape) == ([], (0, 2))
    # As the archive's own reader splits its arrays.
    with np.load(tmp_path / "fold" / PREDICTIONS_FILE, allow_pickle=False) as arrays:
        ends = np.cumsum(arrays["num_tokens"])
        for index, end in enumerate(ends):
            start = end - arrays["num_tokens"][index]
            assert found[index].pred_probs.tolist() == arrays["pred_probs"][start:end].tolist()
            assert found[index].char_end.tolist() == arrays["char_end"][start:end].tolist()


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


def test_what_is_no_position_is_refused(stored):
    for index in ("0", 1.0, None, (0, 1)):
        with pytest.raises(TypeError):
            stored[0][index]


def test_error_on_the_way_does_not_end_an_iteration(stored, monkeypatch):
    monkeypatch.setattr("stored_predictions.text_pieces", lambda *args: [][0])
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


def test_file_may_be_removed_while_predictions_are_in_use(tmp_path, stored):
    (tmp_path / "fold" / PREDICTIONS_FILE).unlink()
    for one, other in zip(*stored, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copy_and_pickle_need_no_file(tmp_path, stored, copied):
    found, expected = copied(stored[0]), stored[1]
    (tmp_path / "fold" / PREDICTIONS_FILE).write_bytes(b"")
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


def test_context_of_several_questions_is_kept_once():
    contexts = ["a b"[:2] + "b" for _ in range(5)]
    assert len({id(context) for context in contexts}) == 5
    arrays = {name: np.zeros((0, 2) if name in ("pred_probs", "labels") else 0, dtype=np.int64) for name in ARRAYS}
    found = StoredPredictions(contexts, np.zeros(5, dtype=np.int64), arrays)
    assert len({id(context) for context in found._contexts}) == 1


def test_predictions_take_memory_only_while_they_are_used(tmp_path):
    context = " ".join(["word"] * 200)
    contexts, indices = [context] * 500, np.arange(500)
    stored_fold(tmp_path / "fold", contexts, indices.tolist())
    examples = [{"context": context} for context in contexts]
    size = (tmp_path / "fold" / PREDICTIONS_FILE).stat().st_size
    assert size > 500 * 200 * 40
    tracemalloc.start()
    try:
        found = load_fold(tmp_path / "fold", "k", examples).predictions
        num_tokens = sum(len(prediction.tokens) for prediction in found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_tokens == 500 * 200
    # Hashing reads the file piece by piece, of up to 256 KiB or so.
    assert peak < size / 4


def num_maps(path: Path) -> int:
    return Path("/proc/self/maps").read_text(encoding="utf-8").count(str(path.resolve()))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_fold_has_one_map_until_it_is_forgotten(tmp_path):
    file = tmp_path / "fold" / PREDICTIONS_FILE
    found, _ = stored_fold(tmp_path / "fold", CONTEXTS, range(6))
    items = list(found)
    assert num_maps(file) == 1
    del found
    assert num_maps(file) == 0
    assert items[1].tokens == ["of", "Rome"]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_map_gives_back_what_was_read(tmp_path, monkeypatch):
    file = tmp_path / "fold" / PREDICTIONS_FILE
    found, expected = stored_fold(tmp_path / "fold", [" ".join(["word"] * 200)] * 50, list(range(50)))

    def resident() -> int:
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(file.resolve()))[1]
        return int(re.search(r"Rss:\s+(\d+) kB", maps)[1])

    assert_same(found[0], expected[0])
    assert resident() > 0
    monkeypatch.setattr("stored_predictions._TOKENS_AT_ONCE", 400)
    found._num_read = 0
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_same(one, other)
        assert (resident() == 0) == (number % 2 == 1)


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
    found = pickle.loads(pickle.dumps(out_of_fold))
    assert found.label_map == {"O": 0, "ANS": 1}
    for index, prediction in enumerate(found.predictions):
        assert_same(prediction, expected[index])
        assert_same(gathered[index], expected[index])


# --- files that are not as they should be ---------------------------------------------------------


def refusal(path: Path, *names: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as error:
        map_npz(path, names)
    return str(error.value)


def test_arrays_are_mapped_and_cannot_be_written(tmp_path):
    arrays = {
        "a": np.arange(6), "b": np.asfortranarray(np.arange(6, dtype=">f4").reshape(3, 2)), "c": np.array(7),
        "d": np.zeros((0, 3)),
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **arrays)
    found = map_npz(tmp_path / "a.npz", list(arrays))
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tolist() == array.tolist()
        assert not found[name].flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            found[name][...] = 0


def test_archive_within_a_file_is_mapped(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(6))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(b"before" + content)
    assert map_npz(tmp_path / "a.npz", ["a"])["a"].tolist() == [0, 1, 2, 3, 4, 5]


def test_compressed_array_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(6))
    assert refusal(tmp_path / "a.npz", "a") == "expected a as np.savez stores it, found it compressed or encrypted"


def test_array_that_is_said_to_be_encrypted_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(6))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert refusal(tmp_path / "a.npz", "a") == "expected a as np.savez stores it, found it compressed or encrypted"


def test_array_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    assert refusal(tmp_path / "a.npz", "a") == "Object arrays cannot be loaded when allow_pickle=False"


def test_array_that_is_missing_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(6))
    assert refusal(tmp_path / "a.npz", "a", "b") == "'b is not a file in the archive'"


def with_header(path: Path, shape: tuple, content: bytes, version=(1, 0)) -> Path:
    """Write an archive whose array says that it is of a shape, whatever its content."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
        archive.writestr("a.npy", b"\x93NUMPY" + bytes(version) + size + header + content)
    return path


def test_header_of_the_test_is_that_of_numpy(tmp_path):
    path = with_header(tmp_path / "a.npz", (2,), struct.pack("<2q", 5, 6))
    assert map_npz(path, ["a"])["a"].tolist() == [5, 6]
    with np.load(path) as arrays:
        assert arrays["a"].tolist() == [5, 6]


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 2), (2**62,), (2**40, 2**40), (-2,), (0,)])
def test_array_that_is_not_of_the_size_it_says_is_refused(tmp_path, shape):
    message = refusal(with_header(tmp_path / "a.npz", shape, bytes(16)), "a")
    assert message.startswith("expected ")
    assert message.endswith(f"of a, {shape} int64, found another number in the file")


@pytest.mark.parametrize("shape", [(-1, -2), (-2, -1), (-1, -1, 2)])
def test_negative_lengths_are_refused(tmp_path, shape):
    assert "negative dimensions" in refusal(with_header(tmp_path / "a.npz", shape, bytes(16)), "a")


def test_other_version_of_the_format_is_refused(tmp_path):
    message = refusal(with_header(tmp_path / "a.npz", (2,), bytes(16), version=(2, 0)), "a")
    assert message == "expected a in version (1, 0) of the npy format, found (2, 0)"


def test_array_that_goes_beyond_the_file_is_refused(tmp_path):
    """Both records of the size say more than there is."""
    path = with_header(tmp_path / "a.npz", (10**6,), bytes(16))
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    header_size = 128
    for place in (central + 20, central + 24):
        content[place : place + 4] = struct.pack("<I", header_size + 8 * 10**6)
    path.write_bytes(content)
    assert refusal(path, "a").endswith("of a, (1000000,) int64, found another number in the file")


def test_header_that_begins_before_the_file_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(6), b=np.arange(6))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[300:])
    assert refusal(tmp_path / "a.npz", "a")


@pytest.mark.parametrize("keep", [0, 1, 100, 300, -1, -30])
def test_file_that_breaks_off_is_refused(tmp_path, keep):
    np.savez(tmp_path / "a.npz", a=np.arange(60))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:keep])
    assert refusal(tmp_path / "a.npz", "a")


ARCHIVE_ARRAYS = {"a": np.arange(6), "b": np.ones((3, 2), dtype=np.float32)}


@cases(300)
@given(changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_archive_is_refused_or_has_arrays_within_the_file(changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        np.savez(path, **ARCHIVE_ARRAYS)
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[place % len(content)] = value
        path.write_bytes(content)
        try:
            found = map_npz(path, list(ARCHIVE_ARRAYS))
        except ValueError:
            return
        for array in found.values():
            assert array.nbytes <= len(content)
            array.tobytes()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("num_tokens", np.array([2.0, 1.0])),
        ("num_tokens", np.array(["2", "1"])),
        ("num_tokens", np.array([4, -1])),
        ("num_tokens", np.array([[2], [1]])),
        ("char_start", np.array([0.0, 8.0, 3.0])),
        ("char_start", np.array([[0], [8], [3]])),
        ("char_end", np.array(["a", "b", "c"])),
        ("pred_probs", np.zeros(3, dtype=np.float32)),
        ("labels", np.zeros((3, 2, 1), dtype=np.int64)),
    ],
)
def test_arrays_that_are_no_predictions_are_refused(tmp_path, name, array):
    stored_fold(tmp_path / "fold", ["a b", "c"], [0, 1])
    with np.load(tmp_path / "fold" / PREDICTIONS_FILE) as stored:
        arrays = {**stored, name: array}
    np.savez(tmp_path / "fold" / PREDICTIONS_FILE, **arrays)
    with pytest.raises(ValueError, match=r"^predictions.npz cannot be read: expected counts of tokens and offsets"):
        read_predictions(tmp_path / "fold")


@pytest.mark.parametrize("num_tokens", [[2, 2], [2**63 - 1, 2**63 - 1, 5]])
def test_counts_that_do_not_add_up_are_refused(tmp_path, num_tokens):
    stored_fold(tmp_path / "fold", ["a b", "c"], [0, 1])
    with np.load(tmp_path / "fold" / PREDICTIONS_FILE) as stored:
        arrays = {**stored, "num_tokens": np.array(num_tokens), "example_index": np.arange(len(num_tokens))}
    np.savez(tmp_path / "fold" / PREDICTIONS_FILE, **arrays)
    with pytest.raises(ValueError, match=r"^predictions.npz cannot be read: its arrays differ in length"):
        read_predictions(tmp_path / "fold")
