"""What a template mentions, read from its source without rendering it."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import meta, nodes
from msgspec import Struct

_LOOKUPS = ("lookup", "query", "q")
_CONTROL_FILTERS = ("fileglob", "realpath", "expanduser", "expandvars", "random", "shuffle", "strftime")


class Mentions(Struct, frozen=True):
    """Root names, and what is called: functions, `lookup:NAME` (`lookup:?` where computed), `filter:NAME`."""

    names: frozenset[str]
    calls: frozenset[str]


def mentions(tree: nodes.Template) -> Mentions:
    """Return what a parsed template mentions."""
    return Mentions(frozenset(meta.find_undeclared_variables(tree)), frozenset(_calls(tree)))


def _calls(tree: nodes.Template) -> Iterator[str]:
    for call in tree.find_all(nodes.Call):
        if not isinstance(call.node, nodes.Name):
            continue
        if call.node.name not in _LOOKUPS:
            yield call.node.name
            continue
        first = call.args[0] if call.args else None
        known = isinstance(first, nodes.Const) and isinstance(first.value, str)
        name = first.value.removeprefix("ansible.builtin.") if known else "?"  # type: ignore[union-attr]
        yield f"lookup:{name}"
    for filtered in tree.find_all(nodes.Filter):
        name = filtered.name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
        if name in _CONTROL_FILTERS:
            yield f"filter:{name}"
