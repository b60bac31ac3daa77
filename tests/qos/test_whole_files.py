"""A file is written as a whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from qos.errors import InputError, ValueRefusedError
from qos.whole_files import whole_file, write_whole


def test_the_file_appears_when_the_block_ends_with_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    mask = os.umask(0o027)
    try:
        with whole_file(path) as temporary:
            temporary.write_text("new")
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".json"
            assert not path.exists()
    finally:
        os.umask(mask)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("problem", [RuntimeError("a bug"), KeyboardInterrupt(), ValueRefusedError("no")])
def test_what_fails_half_way_leaves_the_old_file_and_nothing_else_and_stays_what_it_is(
    tmp_path: Path, problem: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise problem

    with pytest.raises(type(problem)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_came_meanwhile_is_left_where_it_may_not_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write() -> None:
        with whole_file(path, overwrite=False) as temporary:
            temporary.write_text("new")
            path.write_text("came first")

    with pytest.raises(InputError, match=r"a\.txt: exists already"):
        write()
    assert path.read_text() == "came first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("lasting", [True, False])
def test_a_file_is_on_the_disk_before_it_is_seen_unless_nobody_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    path, seen = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda _descriptor: seen.append(path.exists()))
    with whole_file(path, lasting=lasting) as temporary:
        temporary.write_text("new")
    assert seen == [False] * lasting
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["no/a.txt", "a\0b", "x" * 300, "."])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / name, "text")
    assert list(tmp_path.iterdir()) == []


def test_text_that_is_no_unicode_is_refused_and_the_longest_names_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "a.txt", "\ud800")
    longest = tmp_path / f"{'n' * 5}.{'s' * 249}"
    write_whole(longest, "text")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]
