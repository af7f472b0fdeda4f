"""Why a Redis or Valkey server does not run, from what redis_servers found: its state, its port, its log."""

import re

_PROBLEMS = (
    ("disk", r"No space left on device"),
    ("append-only", r"(Bad file format|Unexpected end of file) reading the append only file|AOF.*truncated"),
    ("dump", r"Short read or OOM loading DB|Wrong signature trying to load|RDB.*(corrupt|CRC error)"),
    ("memory", r"Out Of Memory allocating|Can't allocate|Cannot allocate memory"),
    ("permission", r"Can('t|not) (open|chdir|create|read).*Permission denied"),
)
_CONFIG = re.compile(r"at line (\d+)\n\s*>>> '(.*)'\n\s*(.*)")


def problem(found, path):
    """Return {kind, text} of what keeps a server from running, None where it runs or nothing tells."""
    if found["state"] not in ("stopped", "failed", "starting"):
        return None
    text = "\n".join(found["log"])
    wrong = list(_CONFIG.finditer(text))
    if wrong and path and _line(path, int(wrong[-1].group(1))) == wrong[-1].group(2).strip():
        told = "line %s of %s: '%s': %s" % (
            wrong[-1].group(1),
            path,
            _hidden(wrong[-1].group(2)),
            wrong[-1].group(3),
        )
        return {"kind": "config", "text": told}
    if found["port_owner"]:
        return {"kind": "port", "text": "port %d is taken by %s" % (found["port"], found["port_owner"])}
    if found["state"] == "stopped":
        return None  # somebody stopped it: its log is about what was before
    for kind, shape in _PROBLEMS:
        said = [line for line in found["log"] if re.search(shape, line, re.IGNORECASE)]
        if said:
            return {"kind": kind, "text": said[-1].strip()}
    return None


def _line(path, number):
    try:
        with open(path, "rb") as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
        return lines[number - 1].strip()
    except (OSError, IndexError):
        return None


def _hidden(line):
    name, _, rest = line.partition(" ")
    return name + " ***" if rest and name.lower() in ("requirepass", "masterauth", "user") else line
