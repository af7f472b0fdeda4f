"""How the agent gets into a host's memory: the line that a login shell runs, and the bytes that follow it.

Used on the control machine, and on a host for the agents of further identities. docs/protocol.md, "Start".
"""

import json
import zlib

NO_PYTHON = "REMEDY-NO-PYTHON"
"""Printed with the nonce when no interpreter on the host will do."""

NEEDS_PASSWORD = "REMEDY-NEEDS-PASSWORD"
"""Printed with the nonce when su would ask for a password on the direct path, where none can be given."""

INTERPRETERS = (
    "python3",
    "/usr/libexec/platform-python",
    "/usr/bin/python3",
    "/usr/local/bin/python3",
) + tuple("python3.%d" % minor for minor in range(14, 5, -1))

CORE = tuple(
    "remedy.agent." + name
    for name in (
        "bootstrap",
        "channel",
        "files",
        "frames",
        "host",
        "identity",
        "importer",
        "kinds",
        "link",
        "lock",
        "main",
        "phases",
        "process",
        "runner",
        "switchboard",
        "sweeps",
        "terminal",
        "worker",
    )
)
"""The modules that every agent gets."""

PACKAGE = "remedy.modules.target."

# No apostrophe, dollar, backquote, backslash or exclamation mark: the text passes through shells of every kind.
_BODY = """\
try:
 import os,json,zlib
except ImportError:
 sys.exit(97)
sys.excepthook=lambda*e:(sys.__excepthook__(*e),os._exit(3))
os.write(1,(sys.argv[1]+chr(10)).encode())
n=int(sys.argv[2])
b=[]
while n:
 p=os.read(0,n)
 if not p:os._exit(3)
 b.append(p)
 n-=len(p)
s=json.loads(zlib.decompress(bytes().join(b)).decode())["sources"]
m="remedy.agent.importer"
g={"__name__":m}
exec(compile(s[m],m,"exec"),g)
g["start"](s)
"""


def _stage():
    # type: () -> str
    text = json.dumps(_BODY)  # "\n" between the lines, and no other escape than the quotes
    escaped = text[1:-1].replace('\\"', "\\x22")
    return 'import sys;sys.version_info<(3,6)and sys.exit(97);exec("%s")' % escaped


STAGE = _stage()
"""The constant first stage: one line of Python that prints the nonce, reads LENGTH bytes and runs them."""


def quote(text):
    # type: (str) -> str
    """Return a word that sh, csh and fish all read as `text` (which holds no newline)."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def command(nonce, length, label, interpreter=None, become=None):
    # type: (str, int, str, object, object) -> str
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


def find(nonce, length, label, interpreter=None):
    # type: (str, int, str, object) -> str
    """Return the sh script that runs the stage in the first Python that will do.

    The shell stays as the parent: a Python that cannot be used exits with 1, 2 (no -I), 97, 126 or 127 and has
    read nothing; the agent itself never exits with these.
    """
    names = ([] if not interpreter else [str(interpreter)]) + list(INTERPRETERS)
    return (
        "for p in %s; do"
        ' if command -v "$p" >/dev/null 2>&1; then'
        ' "$p" -I -B -c %s %s %d %s;'
        " r=$?; case $r in 1|2|97|126|127) ;; *) exit $r;; esac;"
        " fi;"
        " done; echo %s %s; exit 97"
    ) % (" ".join(quote(name) for name in names), quote(STAGE), nonce, length, quote(_plain(label)), NO_PYTHON, nonce)


def becoming(argv):
    # type: (list) -> str
    """Return the sh script that runs `argv` (of become_argv) with messages in English.

    The user's own LC_ALL rides along as the last argument, for the agent and its commands.
    """
    return "L=${LC_ALL-}; LC_ALL=C; export LC_ALL; exec %s" % " ".join(
        word if word == _LOCALE else quote(word) for word in argv
    )


_LOCALE = '"$L"'
_RESTORE = 'if [ "$0" ]; then LC_ALL=$0; export LC_ALL; else unset LC_ALL; fi; '


def become_argv(become, script, options):
    # type: (dict, str, list) -> list
    """Return the words that run the sh `script` as another user; the last one stands for the user's LC_ALL.

    `options` are sudo's and doas's about the password: ["-n"], or for sudo ["-S", "-p", PROMPT].
    """
    method = become.get("method") or "sudo"
    user = become.get("user") or "root"
    exe = [become.get("exe") or method]
    flags = (become.get("flags") or "").split()
    script = _RESTORE + script
    if method == "su":
        # -s: service users have nologin as their shell; su ignores it where the user may not say so
        return exe + flags + ["-s", "/bin/sh", "-c", script, user, _LOCALE]
    if method == "doas":
        return exe + flags + options + ["-u", user, "--", "/bin/sh", "-c", script, _LOCALE]
    flags = [flag for flag in flags if flag not in ("-S", "-n", "--stdin", "--non-interactive")]
    return exe + (flags or ["-H"]) + options + ["-u", user, "--", "/bin/sh", "-c", script, _LOCALE]


def pack(sources):
    # type: (dict) -> bytes
    """Return the LENGTH bytes that the stage reads: the compressed sources."""
    return zlib.compress(json.dumps({"sources": sources}, sort_keys=True).encode("ascii"), 6)


def sources(names=()):
    # type: (object) -> dict
    """Return {module name: source} of the agent's core, of `names`, and of the target modules these import.

    A name is short ("copy") or full ("remedy.modules.target.copy"). Raises ImportError for one that is not there.
    """
    found = {}  # type: dict
    waiting = list(CORE) + [full_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            waiting.extend(_imported(found[name]))
    return found


def full_name(name):
    # type: (str) -> str
    """Return the true name of a target module."""
    return name if name.startswith("remedy.") else PACKAGE + name


def _source(name):
    # type: (str) -> str
    from importlib import util

    spec = util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError("there is no module %s to ship to the host" % name)
    return _without_docs(spec.loader.get_source(name))  # type: ignore[attr-defined]


def _imported(source):
    # type: (str) -> list
    """Return the names of the target modules that a source imports."""
    if PACKAGE[:-1] not in source:
        return []
    import re

    names = re.findall(r"^\s*(?:from|import)\s+remedy\.modules\.target\.([\w.]+)", source, re.M)
    for several in re.findall(r"^\s*from\s+remedy\.modules\.target\s+import\s+([\w ,]+)", source, re.M):
        names.extend(word.split()[0] for word in several.split(","))
    return [PACKAGE + name for name in names]


def _without_docs(source):
    # type: (str) -> str
    """Return the source without docstrings and examples, every line in its place: tracebacks stay true."""
    import ast

    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        for text in _prose(ast, node):
            if hasattr(text, "end_lineno"):  # since 3.8; what an older agent passes on was stripped before
                first, last = text.lineno - 1, text.end_lineno - 1
                tail = lines[last].encode("utf-8")[text.end_col_offset :].decode("utf-8")
                head = lines[first].encode("utf-8")[: text.col_offset].decode("utf-8")
                lines[first : last + 1] = [head + '""' + tail] + [""] * (last - first)
    return "\n".join(lines) + "\n"


def _prose(ast, node):
    # type: (object, object) -> list
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):  # type: ignore[attr-defined]
        first = node.body[:1]  # type: ignore[attr-defined]
        texts = [each.value for each in first if isinstance(each, ast.Expr)]  # type: ignore[attr-defined]
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":  # type: ignore[attr-defined]
        texts = [node.value]  # type: ignore[attr-defined]
    else:
        texts = []
    return [text for text in texts if isinstance(getattr(text, "value", None), str)]


def _plain(label):
    # type: (str) -> str
    """Return a label that no shell finds anything in, on one line."""
    return "".join(c if c.isalnum() and ord(c) < 128 or c in " ,.:@_/+-" else "_" for c in label)
