"""A terminal with a few live lines at its bottom; without them a plain stream, and rich is never imported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_PER_SECOND = 4.0

T = TypeVar("T")


class Screen:
    """Writes whole lines to a stream; `start` adds live lines below what is written, `stop` takes them away.

    A stream that is gone (a closed pipe, a lost terminal) is given up: the run must go on.
    """

    def __init__(self, stream: TextIO, lines: Callable[[], list[str]], *, color: bool = True) -> None:
        self._stream = stream
        self._color = color
        self._lines = lines
        self._live: Live | None = None
        self._gone = self._stopped = False
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None

    def start_after(self, seconds: float) -> None:
        """Show the live lines when the run is not over by then: a short run pays nothing for them."""
        self._timer = threading.Timer(seconds, self.start)
        self._timer.daemon = True
        self._timer.start()

    def write(self, text: str) -> None:
        """Write text, above the live lines where there are any."""
        with self._guard:
            if self._gone:
                return
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            text = text.encode(encoding, "backslashreplace").decode(encoding)
            try:
                if self._live is None:
                    self._stream.write(text)
                    self._stream.flush()
                else:
                    self._live.console.print(_painted(text), soft_wrap=True)
            except (OSError, ValueError):
                self._gone = True

    def stop(self) -> None:
        """Take the live lines away for good."""
        if self._timer is not None:
            self._timer.cancel()
        with self._guard:
            self._stopped = True
            live, self._live = self._live, None
            try:
                if live is not None:
                    live.stop()
            except (OSError, ValueError):
                self._gone = True

    def aside(self, work: Callable[[], T]) -> T:
        """Take the live lines away while `work` has the terminal; whoever writes waits."""
        with self._guard:
            live = self._live
            if live is not None:
                live.stop()
            try:
                return work()
            finally:
                if live is not None:
                    live.start()

    def start(self) -> None:
        """Show the live lines now."""
        from rich.console import Console
        from rich.live import Live

        with self._guard:
            if self._stopped or self._gone:
                return
            console = Console(
                file=self._stream, force_terminal=True, markup=False, highlight=False, emoji=False
            )
            live = Live(
                console=console,
                get_renderable=self._render,
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            try:
                live.start()
            except (OSError, ValueError):
                self._gone = True
            else:
                self._live = live

    def _render(self) -> Text:
        from rich.text import Text

        style = "cyan" if self._color else ""
        return Text("\n".join(self._lines()), style=style, no_wrap=True, overflow="crop")


def _painted(text: str) -> Text:
    """Return lines as rich prints them, which ends the last one itself."""
    from rich.text import Text

    return Text("\n").join(Text.from_ansi(line) for line in text.removesuffix("\n").split("\n"))
