"""The shell's part of the start: finding a Python, becoming another user, and the first stage that Python runs.

docs/protocol.md, "Start". Used on the control machine and, for the agents of further identities, on the host.
"""

import json
import marshal
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

# The alarm is the lease of an agent that is still on its way: a line that falls silent leaves nobody behind.
# No apostrophe, dollar, backquote, backslash or exclamation mark: the text passes through shells of every kind.
_BODY = """\
try:
 import os,json,signal,zlib
except ImportError:
 sys.exit(97)
sys.excepthook=lambda*e:(sys.__excepthook__(*e),os._exit(3))
os.write(1,(sys.argv[1]+chr(10)).encode())
n=int(sys.argv[2])
b=[]
while n:
 signal.alarm(60)
 p=os.read(0,n)
 if not p:os._exit(3)
 b.append(p)
 n-=len(p)
signal.alarm(0)
b=bytes().join(b)
h,_,d=b.partition(chr(10).encode())
k,n=h.decode().split()
n=int(n)
m="remedy.agent.importer"
g={"__name__":m}
if k==str(sys.implementation.cache_tag)+sys.modules["_frozen_importlib_external"].MAGIC_NUMBER.hex():
 import marshal
 s=marshal.loads(zlib.decompress(d[:n]))
 c=marshal.loads(s[m])
else:
 s=json.loads(zlib.decompress(d[n:]).decode())
 c=compile(s[m],m,"exec")
del d
exec(c,g)
g["start"](s,b)
"""


def _stage():
    text = json.dumps(_BODY)  # "\n" between the lines, and no other escape than the quotes
    escaped = text[1:-1].replace('\\"', "\\x22")
    return 'import sys;sys.version_info<(3,6)and sys.exit(97);exec("%s")' % escaped


STAGE = _stage()
"""The constant first stage: one line of Python that prints the nonce, reads LENGTH bytes and runs them."""


def quote(text):
    """Return a word that sh, csh and fish all read as `text` (which holds no newline)."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def find(nonce, length, label, interpreter=None):
    """Return the sh script that runs the stage in the first Python that will do.

    The shell stays as the parent: a Python that cannot be used exits with 1, 2 (no -I), 97, 126 or 127 and has
    read nothing; the agent itself never exits with these.
    """
    names = ([] if not interpreter else [str(interpreter)]) + list(INTERPRETERS)
    return (
        "for p in %s; do"
        ' if command -v "$p" >/dev/null 2>&1; then'
        ' "$p" -I -S -B -c %s %s %d %s;'
        " r=$?; case $r in 1|2|97|126|127) ;; *) exit $r;; esac;"
        " fi;"
        " done; echo %s %s; exit 97"
    ) % (
        " ".join(quote(name) for name in names),
        quote(STAGE),
        nonce,
        length,
        quote(_plain(label)),
        NO_PYTHON,
        nonce,
    )


def becoming(argv):
    """Return the sh script that runs `argv` (of become_argv) with messages in English.

    The user's own LC_ALL rides along as the last argument, for the agent and its commands.
    """
    return "L=${LC_ALL-}; LC_ALL=C; export LC_ALL; exec %s" % " ".join(
        word if word == _LOCALE else quote(word) for word in argv
    )


_LOCALE = '"$L"'
_RESTORE = 'if [ "$0" ]; then LC_ALL=$0; export LC_ALL; else unset LC_ALL; fi; '


def become_argv(become, script, options):
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


def pack(sources, kind="-", codes=None):
    """Return the LENGTH bytes that the stage reads: a line, then the modules compressed, twice where `codes` is given.

    `codes` are the modules for Pythons of one kind (name and number of their byte code, as the stage puts them
    together): {name: marshalled code, or source}. A Python of another kind reads the sources.
    """
    first = zlib.compress(marshal.dumps(codes), 6) if codes else b""
    second = zlib.compress(json.dumps(sources, sort_keys=True).encode("ascii"), 6)
    return ("%s %d\n" % (kind, len(first))).encode("ascii") + first + second


def _plain(label):
    """Return a label that no shell finds anything in, on one line."""
    return "".join(c if (c.isalnum() and ord(c) < 128) or c in " ,.:@_/+-" else "_" for c in label)
