"""What a file's content is, and where relative paths start."""

import hashlib
import os
import shutil
import subprocess
import sys

from conftest import ROOT

from span_label_errors import files as atomic_files
from span_label_errors.files import clone_root, file_sha256, project_root


def test_file_is_hashed_again_when_size_or_time_changed(tmp_path):
    file = tmp_path / "file"
    for content, time in ((b"one", 1), (b"two", 2), (b"longer", 2)):
        file.write_bytes(content)
        os.utime(file, (time, time))
        assert file_sha256(file) == hashlib.sha256(content).hexdigest()


def test_relative_paths_start_at_the_root_of_a_clone_or_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert clone_root() == project_root() == ROOT
    (tmp_path / "installed" / "package").mkdir(parents=True)
    shutil.copy(atomic_files.__file__, tmp_path / "installed" / "package")
    code = "import sys; sys.path.append('installed'); from package.files import *; print(clone_root(), project_root())"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["None", str(tmp_path)]
