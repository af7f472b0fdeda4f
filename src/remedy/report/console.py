"""The report for a tired person at three in the morning."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from typing import Any, TextIO

from remedy.errors import REASONS
from remedy.events import (
    Event,
    HostConnected,
    HostLeftOut,
    Intent,
    Message,
    PlayStarted,
    RoundTrips,
    RunEnded,
    RunStarted,
    SectionStarted,
    TaskDone,
    TaskStarted,
)
from remedy.report.live import Screen
from remedy.report.progress import Progress
from remedy.report.sections import ORDER, View, findings
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import count, duration, whose

_LIVE_AFTER = 0.5  # seconds
_LOOK = 0.2  # seconds between two looks at whether an answer is still wanted
_PLAIN_WIDTH = 100  # where nobody says how wide the paper is
_TENTHS = 10
_SHORT = 80
_STATUS_STYLES = {
    "ok": "green",
    "changed": "yellow",
    "failed": "red",
    "skipped": "cyan",
    "unknown": "magenta",
}
_PRINTED = ("stdout", "stderr")
_TOLD = ("changed", "failed", "stdout_lines", "stderr_lines")  # the line says it, or another value


class Console:
    """A Sink that tells a run on a stream: a little while it runs, all of it at the end.

    `color` None asks the stream, NO_COLOR and TERM. `verbosity` counts the -v. `diff` shows diffs beside changes.
    `progress` shows how far the run is: live lines on a terminal, a line now and then elsewhere. `answers`: what
    each host answers is what was asked for (`remedy run`). `close` must be called where a run ends without RunEnded.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        color: bool | None = None,
        verbosity: int = 0,
        diff: bool = False,
        progress: bool = True,
        answers: bool = False,
        width: int | None = None,
    ) -> None:
        terminal = _is_terminal(stream)
        self._verbosity = verbosity
        self._diff = diff
        self._progress = progress
        self._answers = answers
        self._live = progress and terminal
        self._tenths = 0
        self._asked: frozenset[tuple[str, str, str]] = frozenset()  # findings that stood before a question
        self._known: frozenset[tuple[str, str, str]] = frozenset()  # and stand there still: the answer was no
        self._story = Story()
        self._following = Progress()
        width = width or _width(stream, terminal)
        paint = color if color is not None else terminal and not os.environ.get("NO_COLOR")
        self._screen = Screen(stream, lambda: self._following.lines(width), color=paint)
        self._sheet = Sheet(self._screen.write, width=width, color=paint)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._story(event)
        if self._progress:
            self._following(event)
        match event:
            case RunStarted() if self._live:
                self._screen.start_after(_LIVE_AFTER)
            case RunEnded():
                self._end()
            case _:
                with self._sheet.together():  # each write draws the live lines anew
                    self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case Message():
                self._message(event)
            case TaskDone() if self._verbosity > 0 or self._answers:
                self._task(event)
            case _:
                self._aside(event)

    def ask(self, text: str, stop: threading.Event) -> bool:
        """Show a text and return whether the operator says yes to it; no, once `stop` is set."""

        # Whoever is to decide first sees what was found.
        with self._sheet.apart() as sheet:
            findings(sheet, self._story, self._view(self._asked))
        self._asked = frozenset(self._story.findings)

        wrapped = list[str]()
        Sheet(wrapped.append, width=self._sheet.width, color=False).paragraph(text)

        def question() -> bool:
            sys.stderr.write(f"\nAPPROVAL\n{''.join(wrapped)}Go on? [y/N]: ")
            sys.stderr.flush()
            # Ctrl-C reaches the main thread only; this one must not be left behind in a read.
            while not select.select([sys.stdin], [], [], _LOOK)[0]:
                if stop.is_set():
                    return False
            return sys.stdin.readline().strip().lower() in ("y", "yes")

        approved = self._screen.aside(question)
        self._known = frozenset() if approved else self._asked
        return approved

    def close(self) -> None:
        """Take the live lines away."""
        self._screen.stop()

    def _end(self) -> None:
        self._screen.stop()
        view = self._view(self._known)
        with self._sheet.together():
            for section in ORDER:
                section(self._sheet, self._story, view)

    def _view(self, known: frozenset[tuple[str, str, str]]) -> View:
        return View(self._verbosity, self._diff, len(self._story.hosts), known)

    # -- while it runs

    def _message(self, event: Message) -> None:
        self._sheet.line(("bold", event.host), ": ", ("dim", event.task))
        text = event.message if isinstance(event.message, str) else _json(event.message)
        self._sheet.paragraph(text, indent=4)

    def _task(self, done: TaskDone) -> None:
        task = done.task if done.item is None else f"{done.task} (item {done.item})"
        told = task if done.section in ("tasks", "") else f"{done.section}: {task}"
        fate = " (ignored)" if done.ignored else " (rescued)" if done.rescued else ""
        reason = f" -- {done.reason}" if done.reason else ""
        self._sheet.line(
            (_STATUS_STYLES.get(done.status, "dim"), f"{done.status.replace('_', ' '):<7}"),
            "  ",
            ("bold", whose(done.host, done.delegated)),
            f"  {told}{fate}",
            ("dim", f" [{duration(done.seconds)}]"),
            reason.replace("\n", " "),
            hang=9,
        )
        if self._verbosity > 1 or self._answers:
            self._result(done.result)

    def _result(self, result: dict[str, Any]) -> None:
        """Show a result; what a program printed stands there as it was printed."""
        printed = [name for name in _PRINTED if isinstance(result.get(name), str) and result[name]]
        brief = self._answers and self._verbosity <= 1 and "rc" in result
        rest = {"rc": result["rc"]} if brief else result
        rest = {name: value for name, value in rest.items() if name not in (*_TOLD, *printed)}
        for line in _json(rest).splitlines() if rest else ():
            self._sheet.verbatim(line, "dim", indent=9)
        for name in printed:
            if name != "stdout":
                self._sheet.line(("dim", f"{name}:"), indent=9)
            for line in result[name].splitlines():
                self._sheet.verbatim(line, "", indent=9)

    def _aside(self, event: Event) -> None:
        match event:
            case PlayStarted() if self._progress or self._verbosity > 0:
                self._sheet.line(("bold", f"PLAY {event.play}"), f": {count(len(event.hosts), 'host')}")
            case TaskDone(status="failed", ignored=False, rescued=False) if self._progress:
                host = whose(event.host, event.delegated)
                self._sheet.line(("bold", host), ("red", " failed: "), f"{event.task} ({event.position})")
            case HostLeftOut() if self._progress:
                words = REASONS.get(event.reason, event.reason.replace("_", " "))
                self._sheet.line(("bold", event.host), ("red", " left out: "), words)
            case SectionStarted() if self._verbosity > 1:
                self._sheet.line(("dim", f"{event.host} enters {event.section}"), indent=9)
            case HostConnected() if self._verbosity > 2:
                self._connected(event)
            case TaskStarted() if self._verbosity > 2:
                self._sheet.line(("dim", f"{event.host} is given '{event.task}' [{event.module}]"), indent=9)
            case Intent() if self._verbosity > 2:
                text = f"{event.host} may change {event.object}: its state before is on disk"
                self._sheet.line(("dim", text), indent=9)
            case RoundTrips() if self._verbosity > 2:
                text = (
                    f"{event.host}: {count(event.round_trips, 'round trip')}, {event.setup_trips} to set up"
                )
                self._sheet.line(("dim", text), indent=9)
        if isinstance(event, RoundTrips | HostLeftOut):
            self._count()

    def _connected(self, event: HostConnected) -> None:
        hello = event.hello
        facts = f"Python {hello.get('python')} as {hello.get('user')}, {hello.get('hostname')}, pid {hello.get('pid')}"
        self._sheet.line(("dim", f"{event.host} connected: {facts}"), indent=9)
        if self._verbosity > 3:
            for line in _json(hello).splitlines():
                self._sheet.verbatim(line, "dim", indent=13)

    def _count(self) -> None:
        """Where nothing can be live, say at each tenth of the hosts how far it is."""
        if self._live or not self._progress or self._verbosity > 0:
            return
        done, all_of_them = self._following.done()
        tenths = _TENTHS * done // all_of_them if all_of_them else 0
        if tenths > self._tenths and all_of_them > 1:
            self._sheet.line(("dim", f"{done} of {all_of_them} hosts done"))
        self._tenths = tenths


def _json(value: Any) -> str:
    short = json.dumps(value, default=str, ensure_ascii=False)
    return short if len(short) <= _SHORT else json.dumps(value, indent=2, default=str, ensure_ascii=False)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):
        return False


def _width(stream: TextIO, terminal: bool) -> int:
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    if not terminal:
        return _PLAIN_WIDTH
    try:
        return os.get_terminal_size(stream.fileno()).columns or _PLAIN_WIDTH
    except (OSError, ValueError):
        return _PLAIN_WIDTH
