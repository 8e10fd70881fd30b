"""A run's examples in one file: as they were, checked, and there for as long as a run needs them."""

import json
import socket

import pytest
from conftest import make_example, twelve_examples

from span_label_errors.cross_validation.shared_examples import read_examples, shared_examples
from span_label_errors.cross_validation.store import data_fingerprint

FINGERPRINT = data_fingerprint(twelve_examples())


def shared(folder, examples=None, log=print):
    examples = twelve_examples() if examples is None else examples
    return shared_examples(folder, data_fingerprint(examples), examples, log)


def test_examples_are_read_as_they_were_and_each_context_is_written_and_held_once(tmp_path):
    """Over more than one line; the last question comes back to the first context."""
    texts = ["Bo left Rome.", 'A "straße"\nor\u2028a \\ 😀 street.']
    examples = [make_example(f"{number}", texts[number > 0], "who?") for number in range(1500)]
    examples[3] |= {"answers": {"text": ["Bo"], "answer_start": [0], "label": ["PER"]}, "is_impossible": False}
    examples.append(make_example("last", texts[0], "Straße?", "Bo"))
    with shared(tmp_path, examples) as file:
        found = read_examples(file, data_fingerprint(examples))
        content = file.read_text()
    assert found == examples
    assert [content.count(json.dumps(text)) for text in texts] == [1, 1]
    assert len({id(example["context"]) for example in found}) == 2


def test_file_is_removed_by_the_last_run_that_needs_it(tmp_path):
    lines = []
    with shared(tmp_path, log=lines.append) as file:
        with shared(tmp_path, log=lines.append) as second:
            assert second == file
        assert read_examples(file, FINGERPRINT) == twelve_examples()
        with shared(tmp_path, twelve_examples()[:6], log=lines.append) as other:
            assert other != file
        assert [*tmp_path.iterdir()] == [file]
    assert ([*tmp_path.iterdir()], lines) == ([], [])


def test_file_of_a_killed_run_is_reused_and_removed(tmp_path):
    """The lock of a killed run has ended with its process, and nobody removes its file."""
    with shared(tmp_path) as file:
        content = file.read_bytes()
    file.write_bytes(content)
    written = file.stat().st_mtime_ns
    with shared(tmp_path) as again:
        assert (again, again.stat().st_mtime_ns) == (file, written)
    assert [*tmp_path.iterdir()] == []


def test_file_is_removed_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), shared(tmp_path):
        1 / 0  # noqa: B018
    assert [*tmp_path.iterdir()] == []


def test_file_that_is_not_there_names_the_machine_and_what_to_do(tmp_path):
    message = (
        f"{tmp_path / 'x'}: expected the examples of the run, found no such file on {socket.gethostname()}; folds_dir "
        "must be a folder that all machines share"
    )
    with pytest.raises(FileNotFoundError) as error:
        read_examples(tmp_path / "x", FINGERPRINT)
    assert str(error.value) == message


@pytest.mark.parametrize("damaged", [b"[[", b"\xff", b"[[], [{}]]", b'[[], [{"context": 0}]]', b"[1, 2]", b"3"])
def test_damaged_file_is_refused(tmp_path, damaged):
    file = tmp_path / "x"
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"expected the examples of the run, found it damaged .*; run again"):
        read_examples(file, FINGERPRINT)


def test_other_examples_are_refused(tmp_path):
    with shared(tmp_path) as file:
        file.write_text(file.read_text().replace("What is", "Which is", 1))
        with pytest.raises(ValueError, match=f"expected examples with the fingerprint {FINGERPRINT}, found "):
            read_examples(file, FINGERPRINT)
