"""Live lines come late, leave nothing behind, and a stream that is gone does not stop a run."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from remedy.events import Message
from remedy.report import Console
from remedy.report.live import Screen
from tests.report import night


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_what_is_written_stands_above_the_live_lines() -> None:
    stream = Terminal()
    screen = Screen(stream, lambda: ["12 hosts: 3 working"])
    screen.start()
    screen.write("\x1b[1mweb1\x1b[0m failed\n")
    screen.stop()
    screen.write("the end\n")
    shown = stream.getvalue()
    assert "12 hosts: 3 working" in shown
    assert "web1" in shown
    assert shown.endswith("the end\n")
    assert "\x1b[?25h" in shown  # the cursor is back


def test_lines_stand_close_together_above_the_live_ones() -> None:
    stream = Terminal()
    screen = Screen(stream, lambda: ["working"], color=False)
    screen.start()
    screen.write("one\n\ntwo\n")
    screen.write("three\n")
    screen.stop()
    assert "one\n\ntwo\nworking" in stream.getvalue()
    assert "three\nworking" in stream.getvalue()


def test_an_event_is_told_in_one_piece() -> None:
    stream = Terminal()
    console = Console(stream, color=False, width=100)
    console._screen.start()
    console(Message(host="a", task="Say it", message="one\ntwo\nthree"))
    shown = stream.getvalue()
    console.close()
    assert "a: Say it\n    one\n    two\n    three\n" in shown


def test_without_colour_the_live_lines_have_none() -> None:
    stream = Terminal()
    screen = Screen(stream, lambda: ["working"], color=False)
    screen.start()
    screen.stop()
    assert "working" in stream.getvalue()
    assert "\x1b[36m" not in stream.getvalue()


def test_after_the_end_nothing_becomes_live() -> None:
    stream = Terminal()
    screen = Screen(stream, lambda: ["never"])
    screen.start_after(3600)
    screen.stop()
    screen.start()
    screen.write("x\n")
    assert stream.getvalue() == "x\n"


def test_a_stream_that_is_gone_is_given_up() -> None:
    console = Console(Gone(), verbosity=4)
    for event in night.tell("apply"):
        console(event)
    console.close()


def test_an_old_encoding_is_served_too() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Screen(stream, list).write("gr\u00fc\u00df dich\n")
    assert raw.getvalue() == b"gr\\xfc\\xdf dich\n"


def test_without_a_terminal_rich_is_never_imported() -> None:
    program = (
        "import sys\nfrom tests.report import night\n"
        "from remedy.report import Console\n"
        "console = Console(sys.stderr, verbosity=1)\n"
        "for event in night.tell('apply'): console(event)\n"
        "sys.stdout.write(str('rich' in sys.modules))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False"
    assert "RECAP" in done.stderr
    assert "\x1b" not in done.stderr
