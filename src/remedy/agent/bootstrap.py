"""How the agent gets into a host's memory, seen from the control machine: a command line, and the bytes behind it.

The login shell runs `command`; `pack(sources(names))` follows on its standard input, then the frames.
docs/protocol.md, "Start".
"""

import ast
from functools import lru_cache
from importlib.util import find_spec

from remedy.agent.stage import (
    NEEDS_PASSWORD,
    NO_PYTHON,
    STAGE,
    become_argv,
    becoming,
    find,
    pack,
    quote,
)

__all__ = ["CORE", "NEEDS_PASSWORD", "NO_PYTHON", "STAGE", "command", "full_name", "pack", "sources"]

CORE = ("remedy.agent.importer", "remedy.agent.main")
"""The modules that every agent gets, with all that they import."""

PACKAGE = "remedy.modules.target."


def command(nonce, length, label, interpreter=None, become=None):
    """Return the one line that starts the agent, safe under any login shell.

    `interpreter` is tried before the others. `become` (method, user, exe, flags: as in the `identity` frame)
    starts the agent as that user when no password is needed; it fails at once where one is.
    """
    script = find(nonce, length, label, interpreter)
    if become is not None:
        guard = ""
        if (become.get("method") or "sudo") == "su":  # it would take the payload for the password
            guard = 'if [ "$(id -u)" -ne 0 ]; then echo %s %s; exit 98; fi; ' % (NEEDS_PASSWORD, nonce)
        script = guard + becoming(become_argv(become, script, ["-n"]))
    return "exec /bin/sh -c " + quote(script)


def sources(names=()):
    """Return {module name: source} of the agent, of `names`, and of the target modules that these import.

    A name is short ("copy") or full ("remedy.modules.target.copy"). Docstrings and examples are left out, every
    line keeps its number. For the control machine. Raises ImportError for a module that is not there.
    """
    found = {}
    waiting = list(CORE) + [full_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], imported = _source(name)
            waiting.extend(imported)
    return found


def full_name(name):
    """Return the true name of a target module."""
    return name if name.startswith("remedy.") else PACKAGE + name


@lru_cache(maxsize=None)
def _source(name):
    """Return a module's source as it travels, and the names of the modules that must travel with it."""
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError("there is no module %s to ship to the host" % name)
    source = spec.loader.get_source(name)
    tree = ast.parse(source)
    return _without_prose(source, tree), tuple(_imported(tree))


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if find_spec(node.module) and find_spec(node.module).submodule_search_locations is not None:
                names = [node.module + "." + alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(("remedy.agent.", PACKAGE)):
                yield name


def _without_prose(source, tree):
    lines = source.splitlines()
    for node in ast.walk(tree):
        for text in _prose(node):
            first, last = text.lineno - 1, text.end_lineno - 1
            head = lines[first].encode("utf-8")[: text.col_offset].decode("utf-8")
            tail = lines[last].encode("utf-8")[text.end_col_offset :].decode("utf-8")
            lines[first : last + 1] = [head + '""' + tail] + [""] * (last - first)
    return "\n".join(lines) + "\n"


def _prose(node):
    """Return the constants in a node that the host has no use for."""
    values = []
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
        values = [each.value for each in node.body[:1] if isinstance(each, ast.Expr)]
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
        values = [node.value]
    return [value for value in values if isinstance(getattr(value, "value", None), str)]
