"""root in folders that belong to others: one that is swapped for a link between look and change leads nowhere."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.target import _attributes, _steady, _undo

WANT = {"uid": os.getuid(), "gid": os.getgid(), "mode": "0777"}


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """A folder `theirs/sub`, looked at, and then become a link to `ours`, which has a secret of the same name."""
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "secret").write_text("secret")
    (ours / "secret").chmod(0o600)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sub").symlink_to(ours)
    return theirs / "sub" / "secret"


def test_attributes_do_not_follow_a_folder_that_became_a_link(swapped: Path) -> None:
    with pytest.raises(Failed):
        _attributes.set_attributes(str(swapped), WANT)
    assert swapped.stat().st_mode & 0o777 == 0o600


def test_attributes_do_not_follow_a_file_that_becomes_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    (tmp_path / "link").symlink_to(secret)
    folder, name = _steady.hold(str(tmp_path / "link"))
    try:
        _steady.set_mode(folder, name, 0o777)
    finally:
        os.close(folder)
    assert secret.stat().st_mode & 0o777 == 0o600


def test_nothing_is_removed_through_a_folder_that_became_a_link(swapped: Path) -> None:
    real = swapped.resolve()
    real.unlink()
    real.mkdir()
    (real / "file").write_text("x")
    with pytest.raises(Failed):
        _undo.remove_tree(str(swapped))
    assert (real / "file").read_text() == "x"


def test_what_is_kept_for_undo_is_the_file_that_was_looked_at(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.write_text("first")
    other.write_text("other")
    found = first.stat()
    assert _steady.read(str(first), found, 100) == b"first"
    shutil.move(other, first)
    with pytest.raises(OSError, match="replaced"):
        _steady.read(str(first), found, 100)
    first.unlink()
    first.symlink_to("/etc/shadow")
    with pytest.raises(OSError):
        _steady.read(str(first), found, 100)


@pytest.mark.parametrize("mode", ["0755", "1777", "2750", "4711"])
def test_modes_are_given_whole(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "file"
    file.touch()
    _attributes.set_attributes(str(file), {**WANT, "mode": mode})
    assert file.stat().st_mode & 0o7777 == int(mode, 8)
