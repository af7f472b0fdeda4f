"""What the documentation holds: code blocks, inline code and links, each with the page and line it stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"remedy [a-z-]")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Piece(NamedTuple):
    """A part of a page; `place` is for people: page:line."""

    place: str
    page: Path
    text: str


def blocks(*languages: str) -> Iterator[Piece]:
    """Yield the code blocks in one of these languages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            if found[1] in languages:
                yield _piece(page, text, found.start(), found[2])


def commands() -> Iterator[Piece]:
    """Yield every `remedy ...` command line, from code blocks and from running text."""
    for block in blocks("sh", "console"):
        for line in block.text.splitlines():
            if line.removeprefix("$ ").startswith("remedy "):
                yield block._replace(text=line.removeprefix("$ "))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        running = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        for found in _INLINE.finditer(running):
            if _COMMAND.match(found[1]):
                yield _piece(page, running, found.start(), found[1])


def links() -> Iterator[Piece]:
    """Yield the links that lead to files and headings of this repository."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _LINK.finditer(text):
            if not found[1].startswith(("http://", "https://")):
                yield _piece(page, text, found.start(), found[1])


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links, as GitHub makes it."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _piece(page: Path, text: str, start: int, found: str) -> Piece:
    return Piece(f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, start) + 1}", page, found)
