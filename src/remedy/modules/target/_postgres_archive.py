"""Reading an archive of pg_dump: whether it is whole, and which tables it has rows of."""

import re

from remedy.agent.kinds import Failed
from remedy.modules.target import _postgres_tools

ENDINGS = (".dump", ".pgdump", ".custom", ".tar")

_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA (.*) (\S+)$")
_FIELD = re.compile(r"^; +(Archive created at|dbname|Format|Dumped from database version): (.*)$")


def read(client, path, whole=True):
    """Return {tables, about, trouble}: `pg_restore -l`, and with `whole` every byte unpacked once.

    The list stands at the begin of an archive: one that was cut off still shows it.
    """
    found = {"tables": [], "about": {}, "trouble": None}
    done = _restore(client, path, ["-l"])
    if done.rc != 0:
        found["trouble"] = "pg_restore -l says: %s" % _postgres_tools.said(done)
        return found
    for line in done.stdout.decode("utf-8", "replace").split("\n"):
        field, data = _FIELD.match(line), _DATA.match(line)
        if field:
            found["about"][field.group(1)] = field.group(2)
        elif data:
            found["tables"].append(".".join(data.group(1).split(" ", 1)))
    if whole:
        done = _restore(client, path, ["-f", "/dev/null"])
        if done.rc != 0:
            found["trouble"] = "it cannot be unpacked to its end: %s" % _postgres_tools.said(done)
    return found


def refuse(found, path):
    """Raise Failed for an archive that cannot be trusted."""
    if found["trouble"]:
        raise Failed("the backup %s cannot be used: %s; choose another one" % (path, found["trouble"]))


def _restore(client, path, options):
    # Opened by us: the server's user need not be allowed to read it.
    words = client.runs("pg_restore") + options
    script = 'file=$1; shift; exec "$@" < "$file"'
    return client.host.run(["sh", "-c", script, "sh", path] + words, cwd="/", c_locale=True, ok=None)
