"""Lines of several programs in one log: each whole, each with the name of who said it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from remedy.cli.prefixed import Prefixed

TALK = """
import sys
from remedy.cli.prefixed import prefix_output
prefix_output(sys.argv[1])
for number in range(300):
    for part in ("line ", str(number), " of ", sys.argv[1], "\\n"):
        (sys.stdout if number % 2 else sys.stderr).write(part)
print("no end", end="")
"""


def test_lines_are_whole_and_named(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        stream = Prefixed(log, "nightly | ")
        stream.write("a ho")
        assert (tmp_path / "log").read_text() == ""
        stream.write("st\n\nand an")
        click.echo("other", file=stream)
        stream.write("the end")
        stream.finish()
        assert (tmp_path / "log").read_text() == (
            "nightly | a host\nnightly |\nnightly | and another\nnightly | the end\n"
        )
        assert not stream.isatty()


def test_programs_that_share_a_log_do_not_mix_their_lines(tmp_path: Path) -> None:
    names = ("one", "two", "three")
    with (tmp_path / "log").open("ab") as log:
        talking = [
            subprocess.Popen([sys.executable, "-c", TALK, name], stdout=log, stderr=log) for name in names
        ]
        assert [each.wait(60) for each in talking] == [0, 0, 0]
    lines = (tmp_path / "log").read_text().splitlines()
    wanted = [f"{name} | line {number} of {name}" for name in names for number in range(300)]
    assert sorted(lines) == sorted([*wanted, *(f"{name} | no end" for name in names)])
