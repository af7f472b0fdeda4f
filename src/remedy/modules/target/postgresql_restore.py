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

from remedy.agent.kinds import REQUIRED, Failed, Irreversible, Param, Resource, Unknown
from remedy.agent.paths import failed
from remedy.modules.target import _backups, _postgres_archive, _postgres_swap, _postgres_tools

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database that is damaged."),
    Param("backup", "path", default=REQUIRED, help="The archive of pg_dump (-Fc or -Ft) on the host."),
    Param("state", default="restored", choices=("restored", "swapped"), help="Beside the damaged one, or in its "
          "place."),
    Param("confirm", help="The database's name once more; a swap needs it."),
    Param("new_name", help="What it is called beside the damaged one; else NAME_restored."),
    Param("damaged_name", help="What the damaged one is called then; else NAME_damaged_TIME."),
    Param("checks", "list", elements="dict", help="Your own proof: {query, expect}; each query is asked in the restored "
          "database and must answer that one value."),
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

_LONGEST = 63
_GROWTH = 8  # bytes on the disk for a byte of an archive that nobody has measured: it is packed


def check_params(params):
    if params["state"] == "swapped" and params["confirm"] != params["name"]:
        return "a swap replaces the database %s: expected confirm: %s" % (params["name"], params["name"])
    if params["name"] in ("postgres", "template0", "template1"):
        return (
            "name '%s': expected a database of an application, not one of the server's own" % params["name"]
        )
    for each in params["checks"] or ():
        if not isinstance(each, dict) or set(each) != {"query", "expect"}:
            return "checks: expected a list such as [{query: SELECT count(*) FROM orders, expect: 12}]"
    if not params["backup"].endswith(_postgres_archive.ENDINGS):
        return "backup '%s': expected an archive of pg_dump, called %s" % (
            params["backup"],
            " or ".join(_postgres_archive.ENDINGS),
        )
    return _backups.wrong_name(params, "name", "new_name", "damaged_name") or _backups.wrong_path(
        params, "backup", "login_unix_socket"
    )


def kind(params):
    return Swapped if params.get("state") == "swapped" else Restored


class Restored(Resource):
    """The database beside the damaged one."""

    interruptible = False
    deadline = 0

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self._client = _postgres_tools.Client(host, params)
        self._began = time.time()
        self._digest = None
        self._told = {}
        self.name = params["name"]
        self.beside = params["new_name"] or _backups.fitting(self.name, "_restored", _LONGEST)

    def key(self):
        return "postgresql database:" + self.beside

    @property
    def digest(self):
        """The backup's SHA-256, which tells it from others whatever it is called."""
        if self._digest is None:
            if self.host.check and not os.path.exists(self.params["backup"]):
                raise Unknown("the backup %s is not there, or not yet" % self.params["backup"])
            try:
                self._digest = _backups.sha256(self.params["backup"])
            except OSError as error:
                raise failed(error, "read", self.params["backup"])
            said = _backups.manifest(self.params["backup"]).get("sha256")
            if said not in (None, self._digest):
                raise Failed(
                    "the backup %s is not as it was made: its SHA-256 is %s, and its manifest says %s; choose another"
                    % (self.params["backup"], self._digest, said)
                )
        return self._digest

    def _ours(self, marks):
        return (marks or {}).get("of") == self.name and marks.get("sha256") == self.digest

    def _swapped(self):
        """Return the copy that this restore has put aside, as (its name, its marks), None where there is none."""
        for each, about in sorted(self._client.databases().items()):
            marks = _postgres_tools.marks(about)
            if each != self.beside and self._ours(marks) and marks.get("state") == "swapped":
                return each, marks
        return None

    def read(self):
        done = self._swapped()
        if done is not None:
            self._told = done[1].get("told") or {}
            return self._state("verified")
        about = self._client.databases().get(self.beside)
        if about is None:
            return None
        marks = _postgres_tools.marks(about)
        if marks is None:
            raise Failed(
                "there is a database %s already, and it is none that remedy restored: set new_name"
                % self.beside
            )
        if self._ours(marks):
            self._told = marks.get("told") or {}
            if marks.get("served"):
                return self._state("served")
            return self._state("verified" if marks.get("state") == "verified" else "unfinished")
        return {"of": marks.get("of"), "sha256": marks.get("sha256"), "data": "others"}

    def _state(self, data):
        return {"of": self.name, "sha256": self.digest, "data": data}

    def wanted(self, have):
        if have is not None and have["data"] == "others" and have["of"] != self.name:
            raise Failed("%s is a restored copy of %s: set new_name" % (self.beside, have["of"]))
        if have is not None and have["data"] == "served":
            raise Failed(
                "%s has been in service since it was restored, until a rollback, and may hold what nobody else has:"
                " rename or drop it, or set new_name" % self.beside
            )
        return self._state("verified")

    def why(self, have):
        done = self._swapped()
        if done is not None:
            return "it stands in its place already; the damaged copy is %s" % done[0]
        return "it is restored and proved already, in %s" % self.beside

    def keep(self, have):
        if have is not None:
            return Irreversible("what was left of an earlier restore in %s goes" % self.beside)
        return {"state": None}

    def diff(self, have, want):
        before = "" if have is None else "%s, %s\n" % (self.beside, have["data"])
        if want is None:
            return {"before": before, "after": ""}
        return {"before": before, "after": "%s, restored from %s\n" % (self.beside, self.params["backup"])}

    def returns(self, have, now):
        return dict(self._told, database=self.name, restored_to=self.beside)

    def write(self, have, want):
        client = self._client
        if want is None:
            self._drop()
            return
        if client.about["recovery"]:
            raise Failed("the server is a standby: restore on the primary")
        archive = _postgres_archive.read(client, self.params["backup"])
        _postgres_archive.refuse(archive, self.params["backup"])
        known = _backups.manifest(self.params["backup"])
        there = client.databases().get(self.name)
        self._room(there)
        self._drop()
        _postgres_swap.create(client, self.beside, there or known.get("options"))
        self._mark(state="loading")
        self._load()
        rows = self._prove(archive, known.get("tables"))
        self._ask()
        self._tell(known, rows, there)
        self._mark(state="verified", told=self._told)

    def _mark(self, **values):
        marks = dict(values, of=self.name, sha256=self.digest, backup=self.params["backup"])
        self._client.comment(self.beside, {"remedy": marks})

    def _room(self, there):
        needed = max(there["bytes"] if there else 0, os.stat(self.params["backup"]).st_size * _GROWTH)
        if os.path.isdir(self._client.about["folder"]):
            _backups.room(self._client.about["folder"], needed, "restoring %s" % self.name)

    def _drop(self):
        about = self._client.databases().get(self.beside)
        if about is None:
            return
        if _postgres_tools.marks(about) is None:
            raise Failed("%s is none that remedy restored, and stays" % self.beside)
        self._client.psql("DROP DATABASE %s;" % _postgres_tools.name(self.beside), timeout=600)

    def _load(self):
        words = ["sh", "-c", _backups.FROM_FILE, "sh", self.params["backup"]]
        words += self._client.words("pg_restore") + ["--exit-on-error", "-d", self.beside]
        done = self.host.run(words, cwd="/", c_locale=True, ok=None)
        if done.rc != 0:
            raise Failed("loading %s failed: %s" % (self.params["backup"], _postgres_tools.said(done)))
        self._client.psql(
            "ANALYZE;", self.beside, timeout=86400
        )  # else its first queries are planned blindly

    def _prove(self, archive, tables):
        """Compare what was loaded with the backup; return {table: rows}; raises Failed."""
        sums = any(each.get("checksum") for each in (tables or {}).values())
        found = self._client.measured(self.beside, sums)
        plain = {each.replace('"', "") for each in found}
        wrong = ["%s is missing" % each for each in archive["tables"] if each not in plain]
        for each, said in sorted((tables or {}).items()):
            now = found.get(each)
            if now is None:
                wrong.append("%s is missing" % each)
            elif now["rows"] != said["rows"]:
                wrong.append("%s has %d rows, the backup %d" % (each, now["rows"], said["rows"]))
            elif said.get("checksum") not in (None, now.get("checksum")):
                wrong.append("%s has another checksum than the backup" % each)
        if wrong:
            raise Failed(
                "the restored copy %s is not what the backup says: %s" % (self.beside, "; ".join(wrong[:8]))
            )
        self._checked = sum(bool(each.get("checksum")) for each in (tables or {}).values())
        return {each: about["rows"] for each, about in found.items()}

    def _ask(self):
        for each in self.params["checks"] or ():
            answer = self._client.psql(
                str(each["query"]).rstrip("; \n") + ";", self.beside, timeout=3600
            ).rstrip("\n")
            if answer != str(each["expect"]):
                raise Failed(
                    "the restored copy %s does not stand your check: %s answers %s, expected %s"
                    % (self.beside, each["query"], answer[:200], each["expect"])
                )

    def _tell(self, known, rows, there):
        damaged = {}
        if there is not None and there["row"]["datallowconn"]:
            damaged = {
                each: about["rows"] for each, about in self._client.measured(self.name, sums=False).items()
            }
        before = {each: about["rows"] for each, about in (known.get("tables") or {}).items()}
        self._told = {
            "point": known.get("made") or os.stat(self.params["backup"]).st_mtime,
            "checksums": self._checked,
            "tables": [
                {
                    "table": each,
                    "backup": before.get(each),
                    "restored": rows.get(each),
                    "damaged": damaged.get(each),
                }
                for each in sorted(set(rows) | set(damaged))
            ],
            "seconds": {"load": round(time.time() - self._began, 3)},
        }


class Swapped(Restored):
    """The restored database under the name of the damaged one."""

    destructive = True
    disruptive = True
    _ended = ()

    def key(self):
        return "postgresql database:" + self.name

    def read(self):
        done = self._swapped()
        self._told = (done[1].get("told") or {}) if done else {}
        return {"from": self.digest if done else None}

    def wanted(self, have):
        return {"from": self.digest}

    def keep(self, have):
        return {"state": have}

    def diff(self, have, want):
        return {
            "before": "%s as it is now, and its sessions\n" % self.name,
            "after": "%s as restored from %s; what is there now stays as %s_damaged_TIME\n"
            % (self.name, self.params["backup"], self.name),
        }

    def returns(self, have, now):
        done = self._swapped()
        told = dict(self._told, database=self.name, ended=list(self._ended), finished=time.time())
        told["recovery"] = _backups.recovery("postgresql", self.name, self._told, self._began)
        return dict(told, damaged_copy=done[0] if done and done[0] != self.name else None)

    def write(self, have, want):
        client, known = self._client, self._client.databases()
        if client.about["recovery"]:
            raise Failed("the server is a standby: swap on the primary")
        if want["from"] is None:
            self._back(known)
            return
        marks = _postgres_tools.marks(known.get(self.beside))
        if not self._ours(marks) or marks.get("state") != "verified":
            raise Failed(
                "%s is no proved copy from this backup: restore it first (state: restored)" % self.beside
            )
        tail = "_damaged_" + time.strftime("%Y%m%d_%H%M%S", time.gmtime())
        aside = self.params["damaged_name"] or _backups.fitting(self.name, tail, _LONGEST)
        if aside in known:
            raise Failed("there is a database %s already: set damaged_name" % aside)
        comment = (known.get(self.name) or {}).get("comment")
        marks = dict(marks, state="swapped", comment=comment)
        if self.name in known:
            _postgres_swap.refuse(client, self.name, self.params["end_superusers"])
        self._ended = _postgres_swap.exchange(
            client, self.name, self.beside, aside, json.dumps({"remedy": marks}, sort_keys=True), comment
        )

    def _back(self, known):
        done = self._swapped()
        if done is None:
            raise Failed("the copy of %s that was put aside is gone" % self.name)
        aside, marks = done
        client = self._client
        if self.beside in known:
            raise Failed("there is a database %s already: drop or rename it first" % self.beside)
        comment = marks.pop("comment", None)
        said = json.dumps({"remedy": dict(marks, state="verified", served=True)}, sort_keys=True)
        _postgres_swap.refuse(client, self.name, self.params["end_superusers"])
        if aside == self.name:  # nothing was called so before
            self._ended = _postgres_swap.exchange(client, self.beside, self.name, "", said, None)
        else:
            self._ended = _postgres_swap.exchange(client, self.name, aside, self.beside, said, comment)
