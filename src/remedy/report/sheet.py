"""Paper with a width: text in styles, wrapped at words, painted only where there is colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter

from remedy.report.text import cells, safe

Part = str | tuple[str, str]
"""A text, or (style, text)."""

_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "bold red": "1;31",
    "green": "32",
    "bold green": "1;32",
    "yellow": "33",
    "bold yellow": "1;33",
    "cyan": "36",
    "bold cyan": "1;36",
    "magenta": "35",
    "alarm": "1;97;41",
}


class Sheet:
    """Writes lines through `write`; `width` in columns; text from hosts is made safe here."""

    def __init__(self, write: Callable[[str], None], *, width: int, color: bool) -> None:
        self._write = write
        self.width = max(width, 40)
        self._color = color
        self._started = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that the block writes in one piece."""
        write, pieces = self._write, list[str]()
        self._write = pieces.append
        try:
            yield
        finally:
            self._write = write
            if pieces:
                write("".join(pieces))

    @contextmanager
    def apart(self) -> Iterator[Sheet]:
        """Yield a sheet for another thread: what the block writes on it comes here in one piece."""
        pieces = list[str]()
        sheet = Sheet(pieces.append, width=self.width, color=self._color)
        sheet._started = self._started
        yield sheet
        self._started = self._started or bool(pieces)
        if pieces:
            self._write("".join(pieces))

    def heading(self, *parts: Part) -> None:
        """Begin a section: an empty line, then its title in bold."""
        if self._started:
            self._write("\n")
        self.line(*(("bold", part) if isinstance(part, str) else part for part in parts))

    def line(self, *parts: Part, indent: int = 0, hang: int = 4) -> None:
        """Write one line; what does not fit goes on `hang` columns further in. Words are never cut."""
        self._started = True
        if not self._color:  # without colours the usual line needs no look at its words
            plain = "".join(part if isinstance(part, str) else part[1] for part in parts).lstrip(" ")
            if plain.isascii() and plain.isprintable() and indent + len(plain) <= self.width:
                self._write(f"{' ' * indent}{plain}".rstrip(" ") + "\n")
                return
        column = indent
        row: list[tuple[str, str]] = []
        for gap, word in _words(parts):
            width = sum(cells(text) for _, text in word)
            if row and column + gap + width > self.width:
                self._row(indent, row)
                indent += hang
                hang = 0
                column, row = indent, []
            elif row and gap:
                row.append((row[-1][0] if row[-1][0] == word[0][0] else "", " " * gap))
                column += gap
            row += word
            column += width
        self._row(indent, row)

    def _row(self, indent: int, row: list[tuple[str, str]]) -> None:
        runs = [(style, "".join(text for _, text in run)) for style, run in groupby(row, key=itemgetter(0))]
        painted = "".join(self._paint(style, text) for style, text in runs)
        self._write(f"{' ' * indent}{painted}".rstrip(" ") + "\n")

    def verbatim(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Write one line as it is: columns stay columns."""
        self._started = True
        self._write(f"{' ' * indent}{self._paint(style, safe(text.expandtabs(4)))}".rstrip(" ") + "\n")

    def paragraph(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Write a text of one or more lines, each wrapped."""
        for line in text.expandtabs(4).splitlines() or [""]:
            inner = len(line) - len(line.lstrip(" "))
            self.line((style, line.lstrip(" ")), indent=indent + inner, hang=2)

    def _paint(self, style: str, text: str) -> str:
        code = _STYLES.get(style) if self._color else None
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text


def _words(parts: tuple[Part, ...]) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return (spaces before, [(style, text)]) for each word; a word may change its style in the middle."""
    words: list[tuple[int, list[tuple[str, str]]]] = []
    gap = 0
    begun = False
    for part in parts:
        style, text = part if isinstance(part, tuple) else ("", part)
        for number, piece in enumerate(safe(text.replace("\t", " ")).split(" ")):
            if number:
                gap, begun = (gap + 1, False) if not begun else (1, False)
            if piece:
                if begun:
                    words[-1][1].append((style, piece))
                else:
                    words.append((gap, [(style, piece)]))
                    begun = True
    return words
