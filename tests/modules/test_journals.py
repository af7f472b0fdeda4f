"""What the header of a journal says, and who would hold its space after it was deleted."""

import os
import struct

import pytest
from tests.modules.running import Talk

from remedy.agent.host import Host
from remedy.modules.target import _journals

ARCHIVED = "system@564f6abd1ca54b7ba95c348be285e722-000000000000179f-000660d53171655d.journal"


def written(folder, name, entries):
    """Make a file with the header of a journal of so many entries, the last of 2026; return its path."""
    times = (1_767_225_500_000_000, 1_767_225_600_000_000) if entries else (0, 0)
    path = folder / name
    path.write_bytes(struct.pack("<8s144xQ24xQQ", b"LPKSHHRH", entries, *times) + bytes(3000))
    return str(path)


@pytest.mark.parametrize(
    ("name", "entries", "leftover"),
    [
        (ARCHIVED, 0, True),
        (ARCHIVED, 1, True),
        (ARCHIVED, 2, False),
        (ARCHIVED + "~", 1, True),
        ("system.journal", 1, False),
        ("user-1000.journal", 0, False),
    ],
)
def test_an_archived_file_with_at_most_one_entry_is_what_a_rotation_leaves(tmp_path, name, entries, leftover):
    journal = _journals.Journal(written(tmp_path, name, entries))
    assert (journal.entries, journal.leftover) == (entries, leftover)


def test_a_file_that_is_no_journal_is_not_called_a_leftover(tmp_path):
    (tmp_path / ARCHIVED).write_bytes(b"x" * 3000)
    journal = _journals.Journal(str(tmp_path / ARCHIVED))
    assert (journal.entries, journal.leftover) == (None, False)
    assert journal.span.startswith("last written ")


def test_who_has_a_journal_open_is_told_by_its_inode_and_not_its_name(tmp_path):
    path = written(tmp_path, ARCHIVED, 5)
    (tmp_path / "copy").mkdir()
    copy = written(tmp_path / "copy", ARCHIVED, 5)
    with (tmp_path / ARCHIVED).open("rb"):
        held = _journals.held(Host(Talk()), [path, copy, str(tmp_path / "gone")])
    assert list(held) == [path]
    assert {(holder.pid, holder.writes) for holder in held[path]} == {(str(os.getpid()), False)}
    assert _journals.held(Host(Talk()), [path]) == {}
