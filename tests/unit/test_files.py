"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.files import requested_file, tail_text, whole_file, write_whole


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    def write_half() -> None:
        with whole_file(target) as scratch:
            scratch.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_whole_file_replaces_the_old_one_and_keeps_its_suffix_while_written(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_text("old")
    with whole_file(target) as scratch:
        assert scratch.suffix == ".keras"
        scratch.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    target = tmp_path / "absent" / "report.pdf"
    with pytest.raises(UsageError, match=r"report\.pdf: cannot be written: No such file or directory"):  # noqa: SIM117
        with requested_file(target) as scratch:
            scratch.write_bytes(b"")
    with pytest.raises(OSError, match="No such file"):
        write_whole(target, b"")


def test_the_end_of_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert tail_text(tmp_path / "log.txt") == ""
    (tmp_path / "log.txt").write_text("0123456789")
    assert tail_text(tmp_path / "log.txt", max_bytes=3) == "789"


def test_a_file_that_cannot_be_written_whole_leaves_nothing_and_the_earlier_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept.json"
    write_whole(target, b"first")

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"second")
    assert target.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
