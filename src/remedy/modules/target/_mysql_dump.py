"""Reading a dump of MySQL or MariaDB: whether it is whole, what position it has, how many rows each table has."""

import re
import zlib

from remedy.agent.kinds import Failed
from remedy.agent.paths import failed, native

ENDINGS = (".sql", ".sql.gz")

_TEXT = re.compile(rb"'(?:[^'\\]+|\\.|'')*'|`(?:[^`]|``)+`", re.DOTALL)  # names, too
_INSERT = re.compile(rb"(?:INSERT|REPLACE)(?: +IGNORE)? +INTO +`((?:[^`]|``)+)`")
_TABLE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?`((?:[^`]|``)+)`")
_OTHERS = re.compile(rb"(?:USE +`|CREATE DATABASE |/\*!40000 DROP DATABASE |/\*!\d+ CREATE DATABASE )")
_POSITION = re.compile(rb"_LOG_FILE='([^']+)', *(?:MASTER|SOURCE)_LOG_POS=(\d+)")
_END = b"-- Dump completed"
_HEAD = 200  # lines in which a position may stand


def read(path):
    """Return {rows: {table: number}, position: [file, number] or None, bytes, trouble: what is wrong or None}."""
    found = {"rows": {}, "position": None, "trouble": None, "bytes": 0}
    try:
        last = _look(path, found)
    except (OSError, EOFError, zlib.error) as error:
        if getattr(error, "errno", None):
            raise failed(error, "read", path)
        found["trouble"] = "it is no whole gzip file: %s" % error
        return found
    if found["trouble"] is None and not last:
        found["trouble"] = "it does not end with '%s': the dump was cut off" % _END.decode()
    return found


def _look(path, found):
    table, last = None, b""
    rows = found["rows"]
    for number, line in enumerate(_lines(path)):
        found["bytes"] += len(line)
        if number < _HEAD and found["position"] is None:
            at = _POSITION.search(line)
            if at:
                found["position"] = [at.group(1).decode("utf-8", "replace"), int(at.group(2))]
        if table is not None:
            rows[table] += _rows(line)
            table = None if _ends(line) else table
        elif line.startswith((b"INSERT", b"REPLACE")):
            made = _INSERT.match(line)
            if made is None:
                continue
            name = _name(made)
            rows.setdefault(name, 0)
            rest = _TEXT.sub(b"", line[made.end() :]).partition(b"VALUES")[2]
            rows[name] += rest.count(b"(")
            table = None if rest.rstrip().endswith(b";") else name
        elif line.startswith(b"CREATE TABLE"):
            made = _TABLE.match(line)
            if made:
                rows.setdefault(_name(made), 0)
        elif _OTHERS.match(line) and found["trouble"] is None:
            found["trouble"] = (
                "it names databases by itself (%s): expected a dump of one database, made without --databases"
                % line[:60].decode("utf-8", "replace").strip()
            )
        if line.strip():
            last = line
    return last.startswith(_END)


def _rows(line):
    return _TEXT.sub(b"", line).count(b"(")


def _ends(line):
    return _TEXT.sub(b"", line).rstrip().endswith(b";")


def _name(made):
    return made.group(1).replace(b"``", b"`").decode("utf-8", "replace")


def _lines(path):
    """Return an iterable of the lines of a file, unpacked where it is packed; it closes the file at its end."""
    with open(native(path), "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            for line in file:
                yield line
            return
        import gzip  # where it is used: most hosts never need it

        with gzip.GzipFile(fileobj=file) as unpacked:
            for line in unpacked:
                yield line


def refuse(found, path):
    """Raise Failed for a dump that cannot be trusted."""
    if found["trouble"]:
        raise Failed("the backup %s cannot be used: %s; choose another one" % (path, found["trouble"]))
