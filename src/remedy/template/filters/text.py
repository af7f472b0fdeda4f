"""Filters over texts: regular expressions, quoting, booleans, comments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from remedy.template.trouble import FilterError

TRUE = (True, "true", "yes", "on", "y", "t", "1", "1.0", 1, 1.0)


def _flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    flags = _flags(ignorecase, multiline)
    result, found = re.compile(pattern, flags).subn(replacement, str(value), count=count)
    if mandatory_count and found != mandatory_count:
        raise FilterError(f"regex_replace: '{pattern}' matched {found} times, expected {mandatory_count}")
    return result


def regex_search(
    value: Any, regex: str, *groups: str, ignorecase: bool = False, multiline: bool = False
) -> Any:
    found = re.search(regex, str(value), _flags(ignorecase, multiline))
    if found is None:
        return None
    if not groups:
        return found.group()
    return [found.group(_group(name)) for name in groups]


def _group(written: str) -> int | str:
    if named := re.fullmatch(r"\\g<(\w+)>", written):
        return int(named[1]) if named[1].isdigit() else named[1]
    if numbered := re.fullmatch(r"\\(\d+)", written):
        return int(numbered[1])
    raise FilterError(rf"regex_search: '{written}' is no group; expected \1 or \g<name>")


def regex_findall(value: Any, regex: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    return re.findall(regex, str(value), _flags(ignorecase, multiline))


def regex_escape(value: Any, re_type: str = "python") -> str:
    if re_type == "python":
        return re.escape(str(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", str(value))
    raise FilterError(f"regex_escape: '{re_type}' is not known; expected python or posix_basic")


def to_bool(value: Any) -> bool:
    """Tell whether a value is one of Ansible's words for true; all else is false, as there."""
    word = value.strip().lower() if isinstance(value, str) else value
    return isinstance(word, str | int | float) and word in TRUE


def quote(value: Any) -> str:
    return shlex.quote("" if value is None else str(value))


def split(value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return str(value).split(sep, maxsplit)


def ternary(value: Any, true_val: Any, false_val: Any, none_val: Any = None) -> Any:
    if value is None and none_val is not None:
        return none_val
    return true_val if bool(value) else false_val


_STYLES = {  # style: decoration of a line, what goes before all, what goes after all
    "plain": ("# ", "", ""),
    "erlang": ("% ", "", ""),
    "c": ("// ", "", ""),
    "cblock": (" * ", "/*", " */"),
    "xml": (" - ", "<!--", "-->"),
}


def comment(text: str, style: str = "plain", **options: Any) -> str:
    """Return a text as a comment, in the styles and with the options of Ansible's filter."""
    if style not in _STYLES:
        raise FilterError(f"comment: the style '{style}' is not known; expected one of {', '.join(_STYLES)}")
    decoration, beginning, end = _STYLES[style]
    decoration = options.get("decoration", decoration)
    newline = options.get("newline", "\n")
    bare = decoration.rstrip()
    beginning, end = options.get("beginning", beginning), options.get("end", end)
    prefix, postfix = options.get("prefix", bare), options.get("postfix", bare)
    lines = [beginning] if beginning else []
    lines += [prefix] * options.get("prefix_count", 1 if prefix else 0)
    *body, last = str(text).split(newline)
    lines += [decoration + line if line else bare for line in body] + [decoration + last]
    lines += [postfix] * options.get("postfix_count", 1 if postfix else 0)
    lines += [end] if end else []
    return str(newline).join(lines)


FILTERS: dict[str, Callable[..., Any]] = {
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "regex_findall": regex_findall,
    "regex_escape": regex_escape,
    "bool": to_bool,
    "quote": quote,
    "split": split,
    "ternary": ternary,
    "comment": comment,
}
