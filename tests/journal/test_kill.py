"""kill -9 takes nothing that was committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from remedy.journal import is_active, read_run, undo_plan

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.journal import telling
from remedy.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal(telling.started("cut"))
journal(telling.intent(secret=True))
journal.commit()
sys.stdout.write("committed\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_what_was_committed_outlives_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "runs" / "cut"
    words = [sys.executable, "-c", PROGRAM, str(folder), str(Path(__file__).parents[2])]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"committed\n"
        assert is_active(folder)
        run.kill()
    assert not is_active(folder)
    record = read_run(folder)
    assert record.summary.outcome == "cut off"
    assert undo_plan(record).hosts["db1"][0].kept["entries"][0]["content"] == b"old\x00\xff"
