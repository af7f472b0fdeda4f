"""Restore one database of PostgreSQL beside the damaged one, prove it, and let the two change names.

`state: restored` loads an archive of pg_dump (of postgresql_backup, or your own) into a new database, NAME_restored,
with owner, encoding, locale, settings and grants of the damaged one, and proves it: every table with the rows and the
checksum that the backup's manifest says (without one: that every table is there), then your own `checks`. `state:
swapped` keeps new sessions out, cancels and then ends those that are in the database, and changes both names in one
transaction. The damaged one stays as NAME_damaged_TIME until somebody drops it: the only copy is never overwritten.
Cut off anywhere, it is played again; a swap can be rolled back. The data end with the backup; going on from there would
need a base backup and its archive of WAL.

Returns `database`, `restored_to` and `damaged_copy` (names), `point` (the backup's time), `tables` (rows of the
backup, of the restored and of the damaged one), `seconds` and, after a swap, `ended` and `recovery` (seconds it took,
point, rows that only the damaged copy has).
"""

import json
import os
import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import (
    _backups,
    _postgres_archive,
    _postgres_checks,
    _postgres_swap,
    _postgres_tools,
    _restoring,
)

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database that is damaged."),
    Param("backup", "path", default=REQUIRED, help="The archive of pg_dump (-Fc or -Ft) on the host."),
    Param("state", default="restored", choices=("restored", "swapped"), help="Beside the damaged one, or in its "
          "place."),
    Param("confirm", help="The database's name once more; a swap needs it."),
    Param("new_name", help="What it is called beside the damaged one; else NAME_restored."),
    Param("damaged_name", help="What the damaged one is called then; else NAME_damaged_TIME."),
    Param("checks", "list", elements="dict", help="Your own proof: {query, expect}; each query is one SELECT, "
          "asked in the restored database as a role that may only read there, and must answer that one value."),
    Param("end_superusers", "bool", default=False, help="A swap ends sessions of superusers, too."),
    *_postgres_tools.LOGIN,
)  # fmt: skip
VARIABLES = _postgres_tools.VARIABLES

EXAMPLES = """
- postgresql_restore: {name: shop, backup: /var/backups/postgresql/shop-20260131T120000Z.dump}
- postgresql_restore:
    name: shop
    backup: /var/backups/postgresql/shop-20260131T120000Z.dump
    state: swapped
    confirm: shop
"""

_GROWTH = 8  # bytes on the disk for a byte of an archive that nobody has measured: it is packed


def check_params(params):
    if params["state"] == "swapped" and params["confirm"] != params["name"]:
        return "a swap replaces the database %s: expected confirm: %s" % (params["name"], params["name"])
    if params["name"] in ("postgres", "template0", "template1"):
        return (
            "name '%s': expected a database of an application, not one of the server's own" % params["name"]
        )
    if not params["backup"].endswith(_postgres_archive.ENDINGS):
        return "backup '%s': expected an archive of pg_dump, called %s" % (
            params["backup"],
            " or ".join(_postgres_archive.ENDINGS),
        )
    return (
        _backups.wrong_checks(params)
        or _backups.wrong_name(params, "name", "new_name", "damaged_name")
        or _backups.wrong_path(params, "backup", "login_unix_socket")
    )


def kind(params):
    return _restoring.kind(params, Restored, Swapped, OfDrill)


class Restored(_restoring.Restoring):
    engine = "postgresql"
    longest = 63

    def __init__(self, params, host):
        _restoring.Restoring.__init__(self, params, host)
        self.client = _postgres_tools.Client(host, params)

    def copies(self):
        return {each: _postgres_tools.marks(about) for each, about in self.client.databases().items()}

    def drop(self):
        self.client.psql("DROP DATABASE %s;" % _postgres_tools.name(self.beside), timeout=600)

    def refuse_standby(self):
        """Raise Failed on a server that takes its data from another one."""
        if self.client.about["recovery"]:
            raise Failed("the server is a standby: restore on the primary")

    def load(self):
        client, path = self.client, self.params["backup"]
        self.refuse_standby()
        archive = _postgres_archive.read(client, path)
        _postgres_archive.refuse(archive, path)
        known = _backups.manifest(path)
        there = client.databases().get(self.name)
        self._room(there)
        _postgres_swap.create(client, self.beside, there or known.get("options"))
        self._mark(state="loading")
        self._load()
        restored, checksums = self._compare(archive, known.get("tables") or {})
        self.ask(self._answer)
        damaged = client.measured(self.name, sums=False) if there and there["row"]["datallowconn"] else {}
        rows = [
            {each: about["rows"] for each, about in found.items()}
            for found in (known.get("tables") or {}, restored, damaged)
        ]
        seconds = {"load": round(time.time() - self.began, 3)}
        self.tell(_backups.made(path, known), rows[0], rows[1], rows[2], checksums=checksums, seconds=seconds)
        self._mark(state="verified", told=self.told)

    def _mark(self, **values):
        marks = dict(values, of=self.name, sha256=self.digest, until=self.until, backup=self.params["backup"])
        self.client.comment(self.beside, {"remedy": marks})

    def _room(self, there):
        needed = max(there["bytes"] if there else 0, os.stat(self.params["backup"]).st_size * _GROWTH)
        if os.path.isdir(self.client.about["folder"]):
            _backups.room(self.client.about["folder"], needed, "restoring %s" % self.name)

    def _load(self):
        path = self.params["backup"]
        words = ["sh", "-c", _backups.FROM_FILE, "sh", path]
        words += self.client.words("pg_restore") + ["--exit-on-error", "-d", self.beside]
        done = self.host.run(words, cwd="/", c_locale=True, ok=None)
        if done.rc != 0:
            raise Failed("loading %s failed: %s" % (path, _postgres_tools.said(done)))
        self.client.psql("ANALYZE;", self.beside, timeout=86400)  # else its first queries are planned blindly

    def _compare(self, archive, tables):
        """Compare what was loaded with the backup; return (what was measured, how many checksums); raises Failed."""
        sums = [each for each in tables if tables[each].get("checksum")]
        found = self.client.measured(self.beside, bool(sums))
        plain = {each.replace('"', "") for each in found}
        wrong = ["%s is missing" % each for each in archive["tables"] if each not in plain]
        for each, said in sorted(tables.items()):
            now = found.get(each)
            if now is None:
                wrong.append("%s is missing" % each)
            elif now["rows"] != said["rows"]:
                wrong.append("%s has %d rows, the backup %d" % (each, now["rows"], said["rows"]))
            elif said.get("checksum") not in (None, now.get("checksum")):
                wrong.append("%s has another checksum than the backup" % each)
        self.prove(wrong)
        return found, len(sums)

    def _answer(self, query):
        return _postgres_checks.answer(self.client, self.beside, query)


class Swapped(_restoring.Swapping, Restored):
    def swap(self, done, aside):
        self.refuse_standby()
        known = self.client.databases()
        about = known.get(self.name) or {}
        if about:
            _postgres_swap.refuse(self.client, self.name, self.params["end_superusers"])
        marks = dict(_postgres_tools.marks(known[self.beside]), state="swapped", comment=about.get("comment"))
        self._exchange(self.name, self.beside, aside, marks, about.get("comment"))

    def back(self, done):
        aside, marks = done
        marks = dict(marks, state="verified", served=True)
        comment = marks.pop("comment", None)
        _postgres_swap.refuse(self.client, self.name, self.params["end_superusers"])
        if aside == self.name:  # nothing was called so before
            self._exchange(self.beside, self.name, "", marks, None)
        else:
            self._exchange(self.name, aside, self.beside, marks, comment)

    def _exchange(self, front, source, aside, marks, comment):
        said = json.dumps({"remedy": marks}, sort_keys=True)
        self.ended = _postgres_swap.exchange(self.client, front, source, aside, said, comment)


class OfDrill(Swapped):
    """The database is a drill's own."""

    attended = False
