"""Draw what a command printed (standard input, with its colours) as an SVG: draw.py COMMAND FILE."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text


def draw(command: str, printed: str, width: int = 96) -> str:
    """Return the SVG of a terminal with this command and what it printed."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}\n", style="bold"))
    console.print(Text.from_ansi(printed.rstrip()), soft_wrap=False)
    svg = console.export_svg(title="remedy", theme=MONOKAI, unique_id="remedy")
    # Without the fonts from a public server: whoever looks at the page contacts nobody else.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(sys.argv[1], sys.stdin.read()), encoding="utf-8")
