"""Archives of one array an example."""

import numpy as np
import pytest

from span_label_errors.results.npz import read_npz, to_dict, write_npz


def test_arrays_come_back_in_order(tmp_path):
    arrays = [np.arange(length, dtype=np.int32) for length in range(12)]
    np.savez(tmp_path / "a.npz", **to_dict(arrays))
    found = read_npz(tmp_path / "a.npz")
    assert [array.tolist() for array in found] == [array.tolist() for array in arrays]
    assert {array.dtype for array in found} == {np.dtype(np.int32)}
    assert [array.tolist() for array in read_npz(tmp_path / "a.npz", 3)] == [[], [0], [0, 1]]


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.arange(length, dtype=np.float32) for length in range(12)],
        [np.array(["Zürich", "😀"]), np.array("Who?"), np.array([], dtype=np.str_)],
        [np.arange(12).reshape(3, 4)[:, 1], np.asfortranarray(np.ones((2, 3), dtype=np.int64))],
    ],
)
def test_arrays_written_one_by_one_are_the_bytes_of_savez(tmp_path, arrays):
    write_npz(tmp_path / "one_by_one.npz", iter(arrays))
    np.savez(tmp_path / "at_once.npz", **to_dict(arrays))
    assert (tmp_path / "one_by_one.npz").read_bytes() == (tmp_path / "at_once.npz").read_bytes()


def test_arrays_of_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "a.npz", [np.array([[1], [2, 3]], dtype=object)])


def test_to_dict_keys_items_by_their_index_as_text():
    assert to_dict(["a", [1], None]) == {"0": "a", "1": [1], "2": None}


@pytest.mark.parametrize(("keys", "last", "found"), [("02", 1, "2"), ("1", 0, "1"), (["00"], 0, "00")])
def test_archive_with_other_keys_is_refused(tmp_path, keys, last, found):
    np.savez(tmp_path / "a.npz", **{key: np.zeros(1) for key in keys})
    with pytest.raises(ValueError, match=rf"a\.npz: expected the keys '0' to '{last}', found \['{found}'\]"):
        read_npz(tmp_path / "a.npz")
