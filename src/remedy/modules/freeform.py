"""Parameters written as one text: `path=/etc/hosts mode=0644`, or a command line with `chdir=` beside it."""

from __future__ import annotations

import re

from remedy.document import Map, Text
from remedy.errors import InputError, Position
from remedy.modules.registry import ModuleSpec

# One word: templates, quoted parts and plain characters without a blank between them.
_WORD = re.compile(
    r"""(?: \{\{.*?\}\} | \{%.*?%\} | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \\(?:.|$) | [^\s"'\\] )+""",
    re.VERBOSE | re.DOTALL,
)
_PAIR = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"""\\(?:U[0-9A-Fa-f]{8}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\\'"abfnrtv])""")


def parse_free_form(spec: ModuleSpec, text: str, position: Position | None) -> Map:
    """Return the parameters that a text holds, not yet checked: hand them to `check`.

    For a module with a free-form parameter every word that is not `option=value` belongs to that parameter,
    with its quotes and blanks as written; from an open quote on (a here document, a comment) so does the
    rest. For other modules an open quote and a bare word raise InputError.
    """
    found = Map(position)
    options = {
        name
        for param in spec.params
        if param.name != spec.free_form and param.type not in ("list", "dict")
        for name in (param.name, *param.aliases)
    }
    rest: list[str] = []
    done = 0
    for start, end in _words(spec, text, position):
        word = text[start:end]
        pair = _PAIR.fullmatch(word)
        if pair and (pair[1] in options if spec.free_form else True):
            found[pair[1]] = Text(_unquote(pair[2]), position)
            if position is not None:
                found.keys_at[pair[1]] = found.values_at[pair[1]] = position
            rest.append(text[done:start].rstrip(" \t"))
            done = end
        elif not spec.free_form:
            raise InputError(
                f"'{spec.name}' takes parameters, not the bare text '{word}'",
                where=position,
                hint="write name=value, or the parameters as a mapping below the module's name",
            )
    rest.append(text[done:])
    free = "".join(rest).strip()
    if spec.free_form and free:
        found[spec.free_form] = Text(free, position)
        if position is not None:
            found.keys_at[spec.free_form] = found.values_at[spec.free_form] = position
    return found


def _words(spec: ModuleSpec, text: str, position: Position | None) -> list[tuple[int, int]]:
    words = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _WORD.match(text, place)
        if match is None or (match.end() < len(text) and not text[match.end()].isspace()):
            if spec.free_form:
                break
            at = place if match is None else match.end()
            raise InputError(
                f"the quote that opens at {text[at : at + 20]!r} is never closed",
                where=position,
                hint="close it, or write the text as a YAML block (|)",
            )
        words.append(match.span())
        place = match.end()
    return words


def _unquote(value: str) -> str:
    plain = _ESCAPE.sub(lambda match: match[0].encode("ascii").decode("unicode_escape"), value)
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'":
        return plain[1:-1]
    return plain
