"""What the YAML parser's complaints mean to somebody who has to mend the file."""

from __future__ import annotations

from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from remedy.errors import InputError, Position

_NEVER_CLOSED = ("found unexpected end of stream", "did not find expected ',' or")
_MEANINGS = (  # part of the parser's text -> what was found, what to do
    (
        "mapping values are not allowed",
        "a ':' where none can stand",
        "expected one 'key: value' a line; quote a text that has ': ' in it, and check the indentation above",
    ),
    (
        "found unexpected end of stream",
        "a quote is opened and never closed",
        "expected the closing quote; a quote inside quotes is doubled ('') or escaped (\\\")",
    ),
    (
        "did not find expected key",
        "neither a key nor the end of the mapping",
        "expected 'key: value' in the same column as the keys above; look for a wrong indentation or a quote",
    ),
    (
        "could not find expected ':'",
        "a line without ':'",
        "expected 'key: value'; check the indentation of this line and the one above",
    ),
    (
        "did not find expected '-' indicator",
        "a line that is no list item",
        "expected '- ' in the same column as the items above",
    ),
    (
        "did not find expected ',' or",
        "a bracket or brace is not closed",
        "expected ',' or the closing bracket; a text that starts with [ or { needs quotes",
    ),
    (
        "did not find expected node content",
        "a value is missing",
        "expected a value, and every bracket and brace closed; quote a text that has special characters",
    ),
    (
        "block sequence entries are not allowed",
        "a list item where none can stand",
        "expected the list on a line of its own, below its key",
    ),
    (
        "found unknown escape character",
        "an unknown escape in double quotes",
        "double the backslash (\\\\), or use single quotes",
    ),
    (
        "undefined tag handle",
        "an undefined tag",
        "expected one of !vault, !unsafe, or no tag at all",
    ),
)


def explain(error: YAMLError, text: str, file: str) -> InputError:
    """Return the parser's error as an InputError that says where, what was found, and what was expected."""
    if isinstance(error, ReaderError):
        return _unreadable(error, text, file)
    if not isinstance(error, MarkedYAMLError):
        return InputError(f"this is no YAML: {error}", where=Position(file), hint="expected a YAML document")
    problem = error.problem or "cannot be parsed"
    opened = any(part in problem for part in _NEVER_CLOSED)
    mark = (opened and error.context_mark) or error.problem_mark or error.context_mark
    where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
    lines = text.splitlines()
    character = lines[mark.line][mark.column : mark.column + 1] if mark and mark.line < len(lines) else ""
    if character == "\t":
        hint = "expected spaces: YAML does not allow tabs"
        return InputError("a tab in the indentation", where=where, hint=hint)
    if character in ("@", "`", "%"):
        return InputError(
            f"a text cannot start with {character}", where=where, hint="expected quotes around the whole text"
        )
    for part, found, expected in _MEANINGS:
        if part in problem:
            return InputError(f"broken YAML: {found}", where=where, hint=expected)
    context = f" {error.context}" if error.context else ""
    hint = "expected YAML as Ansible reads it"
    return InputError(f"broken YAML{context}: {problem}", where=where, hint=hint)


def _unreadable(error: ReaderError, text: str, file: str) -> InputError:
    bad = next(((i, c) for i, c in enumerate(text) if not _printable(c)), None)
    if bad is None:
        return InputError(f"cannot be read: {error.reason}", where=Position(file), hint="expected plain text")
    index, character = bad
    line = text.count("\n", 0, index) + 1
    where = Position(file, line, index - (text.rfind("\n", 0, index) + 1) + 1)
    return InputError(
        f"the character U+{ord(character):04X} is not allowed in YAML",
        where=where,
        hint=f'expected printable text; write it as an escape in double quotes: "\\u{ord(character):04X}"',
    )


def _printable(character: str) -> bool:
    code = ord(character)
    return code in (0x9, 0xA, 0xD, 0x85) or 0x20 <= code <= 0x7E or 0xA0 <= code < 0xD800 or code > 0xDFFF
