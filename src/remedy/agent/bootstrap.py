"""How the agent gets into a host's memory, seen from the control machine: a command line, and the bytes behind it.

The login shell runs `command`; `pack(sources(names))` follows on its standard input, then the frames.
docs/protocol.md, "Start".
"""

import re
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


# No parser: it would cost every run a tenth of a second. What is shipped is in one style, and a test compares what
# these find with what the parser finds: texts in triple quotes, those that begin a line as docstrings, and imports.
# All other texts and comments are passed over whole: quotes in them, or at their ends, open nothing.
_TEXT = re.compile(
    r"""(?:(^[ \t]*|^EXAMPLES[ ]=[ ])\"""|\""")  # at the beginning of a line, or anywhere
        ([^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*)\"""
        ([ \t]*$)?
      | \#.*
      | \'\'\'[\s\S]*?\'\'\'
      | "[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"
      | '[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'""",
    re.MULTILINE | re.VERBOSE,
)
_INSIDE = ("(", "[", "{", ",", "=", "+", "%", "\\")  # what a text that goes on in the next line has before it
_IMPORT = re.compile(
    r"^ *(?:from (remedy[\w.]*) import (\([^)]*\)|[\w ,]+)|import (remedy[\w.]+))", re.MULTILINE
)
_NAME = re.compile(r"(\w+)(?: as \w+)?")


@lru_cache(maxsize=None)
def _source(name):
    """Return a module's source as it travels, and the names of the modules that must travel with it."""
    spec = _spec(name)
    if spec is None or spec.loader is None:
        raise ImportError("there is no module %s to ship to the host" % name)
    source = _TEXT.sub(_without_prose, spec.loader.get_source(name))
    return source, tuple(_imported(source))


@lru_cache(maxsize=None)
def _spec(name):
    return find_spec(name)


def _without_prose(found):
    """Replace a text that the host has no use for by as many empty lines."""
    before, text, end = found.groups()
    if before is None or end is None:
        return found.group()
    start = found.start()
    if found.string[max(0, start - 200) : start].rstrip().endswith(_INSIDE):
        return found.group()
    return before + '""' + end + "\n" * text.count("\n")


def _imported(source):
    for module, names, plain in _IMPORT.findall(source):
        spec = _spec(module) if module else None
        if spec is not None and spec.submodule_search_locations is not None:
            found = [module + "." + name for name in _NAME.findall(names)]
        else:
            found = [module or plain]
        for name in found:
            if name.startswith(("remedy.agent.", PACKAGE)):
                yield name
