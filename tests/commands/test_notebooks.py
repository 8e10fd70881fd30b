"""The `notebooks` command copies, and overwrites nothing."""

from conftest import ROOT

from span_label_errors.commands.notebooks import main


def test_notebooks_are_copied_once(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main([str(folder)]) == 0
    copies = sorted(folder.iterdir())
    assert [copy.suffix for copy in copies] == [".yaml", ".ipynb", ".ipynb", ".yaml"]
    assert all(copy.read_bytes() == (ROOT / "notebooks" / copy.name).read_bytes() for copy in copies)
    assert capsys.readouterr().out.splitlines() == [str(copy) for copy in copies]
    copies[0].unlink()
    copies[1].write_text("my own work")
    assert main([str(folder)]) == 1
    assert f"expected none of {', '.join(copy.name for copy in copies[1:])} there" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == copies[1:]
    assert copies[1].read_text() == "my own work"


def test_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "mine")]) == 1
    assert str(tmp_path / "file" / "mine") in capsys.readouterr().out
