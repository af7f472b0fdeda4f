"""Restore one database of MySQL or MariaDB beside the damaged one, prove it, and let the two change places.

`state: restored` loads the backup (of mysql_backup, or any dump of one database) into a new database, NAME_restored, and
proves it: tables and rows as in the backup, checksums where the backup has them, then your own `checks`. With `until`
it goes on with the binary logs to that point, just before the accident. Whatever is loaded runs as an account that
may write to the new database alone. `state: swapped` then ends the sessions in the database, and exchanges all tables
in one RENAME TABLE; triggers, views, routines and events follow. The damaged tables stay in NAME_damaged_TIME until
somebody drops them: the only copy is never overwritten. Cut off anywhere, it is played again; a swap can be rolled
back.

Returns `database`, `restored_to` and `damaged_copy` (names), `point` (the time of the last data that came back),
`position`, `tables` (rows of the backup, of the restored and of the damaged one), `seconds` and, after a swap, `ended`
and `recovery` (seconds it took, point, rows that only the damaged copy has).
"""

import os
import time

from remedy.agent.kinds import REQUIRED, Failed, Irreversible, Param, Resource, Unknown
from remedy.agent.paths import failed
from remedy.modules.target import _backups, _mysql_dump, _mysql_replay, _mysql_swap, _mysql_tools

PARAMS = (
    Param("name", default=REQUIRED, aliases=("db",), help="The database that is damaged."),
    Param("backup", "path", default=REQUIRED, help="The dump: a .sql or .sql.gz file on the host."),
    Param("until", help="Go on with the binary logs up to here: FILE:POSITION, or a time; else the data end with the "
          "backup."),
    Param("state", default="restored", choices=("restored", "swapped"), help="Beside the damaged one, or in its "
          "place."),
    Param("confirm", help="The database's name once more; a swap needs it."),
    Param("new_name", help="What it is called beside the damaged one; else NAME_restored."),
    Param("damaged_name", help="What the damaged one is called then; else NAME_damaged_TIME."),
    Param("checks", "list", elements="dict", help="Your own proof: {query, expect}; each query is asked in the restored "
          "database and must answer that one value."),
    *_mysql_tools.LOGIN,
)  # fmt: skip
VARIABLES = _mysql_tools.VARIABLES

EXAMPLES = """
- mysql_restore: {name: shop, backup: /var/backups/mysql/shop-20260131T120000Z.sql.gz}
- mysql_restore:
    name: shop
    backup: /var/backups/mysql/shop-20260131T120000Z.sql.gz
    until: binlog.000007:4711
    state: swapped
    confirm: shop
"""

_LONGEST = 64
_GROWTH = 2.5  # bytes on the disk for a byte of a dump: rows, indexes, and the binary log of loading them


def check_params(params):
    if params["state"] == "swapped" and params["confirm"] != params["name"]:
        return "a swap replaces the database %s: expected confirm: %s" % (params["name"], params["name"])
    for each in params["checks"] or ():
        if not isinstance(each, dict) or set(each) != {"query", "expect"}:
            return "checks: expected a list such as [{query: SELECT COUNT(*) FROM orders, expect: 12}]"
    if not params["backup"].endswith(_mysql_dump.ENDINGS):
        return "backup '%s': expected a dump called .sql or .sql.gz" % params["backup"]
    return (
        _backups.wrong_name(params, "name", "new_name", "damaged_name")
        or _backups.wrong_path(params, "backup")
        or _mysql_replay.refuse_until(params["until"])
    )


def kind(params):
    return Swapped if params.get("state") == "swapped" else Restored


class Restored(Resource):
    """The database beside the damaged one."""

    interruptible = False
    deadline = 0

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self._client = _mysql_tools.Client(host, params)
        self._began = time.time()
        self._digest = None
        self._told = {}
        self.name = params["name"]
        self.beside = params["new_name"] or _backups.fitting(self.name, "_restored", _LONGEST)

    def key(self):
        return "mysql database:" + self.beside

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
        wanted = {"of": self.name, "sha256": self.digest, "until": self.params["until"]}
        return all((marks or {}).get(each) == wanted[each] for each in wanted)

    def _swapped(self):
        """Return the copy that this restore has put aside, as (its name, its marks), None where there is none."""
        for each, marks in sorted(_mysql_swap.marked(self._client).items()):
            if each != self.beside and self._ours(marks) and marks.get("state") in ("moving", "swapped"):
                return each, marks
        return None

    def read(self):
        done = self._swapped()
        if done is not None:
            self._told = done[1].get("told") or {}
            return self._state("verified")
        if self.beside not in self._client.schemas():
            return None
        marks = _mysql_swap.marks(self._client, self.beside)
        if marks is None:
            raise Failed(
                "there is a database %s already, and it is none that remedy restored: set new_name"
                % self.beside
            )
        if self._ours(marks):
            self._told = marks.get("told") or {}
            if marks.get("served"):
                return self._state("served")
            return self._state("verified" if marks.get("state") in ("verified", "moving") else "unfinished")
        return {
            "of": marks.get("of"),
            "sha256": marks.get("sha256"),
            "until": marks.get("until"),
            "data": "others",
        }

    def _state(self, data):
        return {"of": self.name, "sha256": self.digest, "until": self.params["until"], "data": data}

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
        text = "%s, restored from %s" % (self.beside, self.params["backup"])
        text += " and the binary logs until %s" % self.params["until"] if self.params["until"] else ""
        return {
            "before": "" if have is None else "%s, %s\n" % (self.beside, have["data"]),
            "after": text + "\n",
        }

    def returns(self, have, now):
        return dict(self._told, database=self.name, restored_to=self.beside)

    def write(self, have, want):
        client = self._client
        if want is None:
            self._drop()
            return
        if client.about["read_only"]:
            raise Failed("the server is read-only: restore on the primary, not on a replica")
        dump = _mysql_dump.read(self.params["backup"])
        _mysql_dump.refuse(dump, self.params["backup"])
        self._until(dump["position"])
        self._room(dump)
        self._drop()
        _mysql_swap.make(
            client, self.beside, self.name, _backups.manifest(self.params["backup"]).get("charset")
        )
        _mysql_swap.mark(
            client, self.beside, of=self.name, sha256=self.digest, until=self.params["until"], state="loading"
        )
        with _mysql_replay.Account(client, self.beside) as account:
            self._load(account)
            tables = self._prove(dump)
            loaded = time.time()
            if self.params["until"]:
                _mysql_replay.replay(
                    client, account, self.name, self.beside, dump["position"], self.params["until"]
                )
        self._ask()
        self._tell(dump, tables, loaded)
        _mysql_swap.mark(client, self.beside, state="verified", told=self._told)

    def _until(self, position):
        """Look ahead at what would be replayed: nothing is loaded for a point that cannot be reached."""
        self._survey = None
        if not self.params["until"]:
            return
        if position is None:
            raise Failed("the backup holds no position in the binary logs: restore it without until")
        self._survey = _mysql_replay.survey(self._client, self.name, position, self.params["until"])
        foreign = self._survey["foreign"]
        if foreign:
            raise Failed(
                "a statement at %s names %s from elsewhere, and cannot be replayed into another database: %s;"
                " stop before it with until" % (foreign[0]["position"], self.name, foreign[0]["statement"])
            )

    def _room(self, dump):
        needed = int(dump["bytes"] * _GROWTH)
        if self._survey is not None:
            # At most what the binary logs hold, and once more in the new ones.
            paths = _mysql_replay.logs(self._client, dump["position"], self.params["until"])[0]
            needed += sum(os.stat(each).st_size for each in paths if os.path.exists(each))
        if os.path.isdir(self._client.about["datadir"]):
            _backups.room(self._client.about["datadir"], needed, "restoring %s" % self.name)

    def _drop(self):
        if self.beside in self._client.schemas():
            if _mysql_swap.marks(self._client, self.beside) is None:
                raise Failed("%s is none that remedy restored, and stays" % self.beside)
            self._client.rows("DROP DATABASE %s" % _mysql_tools.name(self.beside), timeout=600)

    def _load(self, account):
        packed = self.params["backup"].endswith(".gz")
        words = [
            "sh",
            "-c",
            _backups.FROM_GZIP if packed else _backups.FROM_FILE,
            "sh",
            self.params["backup"],
        ]
        done = self.host.run(
            words + account.words + [self.beside], c_locale=True, environment=account.environment, ok=None
        )
        if done.rc != 0:
            raise Failed("loading %s failed: %s" % (self.params["backup"], _mysql_tools.said(done)))
        # Two of an event would do everything twice: they are off until the swap.
        _mysql_swap.mark(
            self._client, self.beside, events=_mysql_swap.set_events(self._client, self.beside, on=False)
        )

    def _prove(self, dump):
        """Compare what was loaded with the backup; return {table: rows}; raises Failed."""
        client, wrong = self._client, []
        kinds = client.tables(self.beside)
        tables = [each for each in dump["rows"] if kinds.get(each) != "VIEW"]
        missing = [each for each in tables if each not in kinds]
        rows = client.counts(
            self.beside, [each for each in tables if kinds.get(each) in ("BASE TABLE", "SYSTEM VERSIONED")]
        )
        wrong += ["%s is missing" % each for each in missing]
        wrong += [
            "%s has %d rows, the backup %d" % (each, rows[each], dump["rows"][each])
            for each in rows
            if rows[each] != dump["rows"][each]
        ]
        known = _backups.manifest(self.params["backup"]).get("tables") or {}
        sums = {
            each: known[each]["checksum"] for each in known if known[each].get("checksum") and each in rows
        }
        found = client.checksums(self.beside, sorted(sums))
        wrong += [
            "%s has another checksum than the backup" % each for each in found if found[each] != sums[each]
        ]
        if wrong:
            raise Failed(
                "the restored copy %s is not what the backup says: %s" % (self.beside, "; ".join(wrong[:8]))
            )
        self._checked = len(found)
        return rows

    def _ask(self):
        for each in self.params["checks"] or ():
            found = self._client.rows(str(each["query"]), database=self.beside, timeout=3600)
            answer = found[0][0] if found and found[0] else None
            if len(found) != 1 or str(answer) != str(each["expect"]):
                raise Failed(
                    "the restored copy %s does not stand your check: %s answers %s, expected %s"
                    % (
                        self.beside,
                        each["query"],
                        answer if len(found) == 1 else "%d rows" % len(found),
                        each["expect"],
                    )
                )

    def _tell(self, dump, rows, loaded):
        made = _backups.manifest(self.params["backup"]).get("made") or os.stat(self.params["backup"]).st_mtime
        last = self._survey["last"] if self._survey else None
        kinds = self._client.tables(self.beside)
        now = self._client.counts(
            self.beside,
            sorted(each for each in kinds if kinds[each] == "BASE TABLE" and each != _mysql_swap.MARKS),
        )
        kinds = self._client.tables(self.name)
        damaged = self._client.counts(
            self.name, sorted(each for each in kinds if kinds[each] == "BASE TABLE")
        )
        names = sorted(set(now) | set(damaged))
        self._told = {
            "point": max(made, (last or {}).get("time") or 0),
            "position": (last or {}).get("position")
            or (dump["position"] and "%s:%d" % tuple(dump["position"])),
            "until": self.params["until"],
            "checksums": self._checked,
            "tables": [
                {
                    "table": each,
                    "backup": rows.get(each),
                    "restored": now.get(each),
                    "damaged": damaged.get(each),
                }
                for each in names
            ],
            "seconds": {"load": round(loaded - self._began, 3), "replay": round(time.time() - loaded, 3)},
        }


class Swapped(Restored):
    """The restored database in the place of the damaged one."""

    destructive = True
    disruptive = True
    _ended = ()

    def key(self):
        return "mysql database:" + self.name

    def read(self):
        done = self._swapped()
        if done is None or done[1].get("state") != "swapped":
            return {"from": None}
        self._told = done[1].get("told") or {}
        return {"from": self.digest, "until": self.params["until"]}

    def wanted(self, have):
        return {"from": self.digest, "until": self.params["until"]}

    def keep(self, have):
        return {"state": have}

    def diff(self, have, want):
        return {
            "before": "%s as it is now, its tables and its sessions\n" % self.name,
            "after": "%s as restored from %s; what is there now stays as %s_damaged_TIME\n"
            % (self.name, self.params["backup"], self.name),
        }

    def returns(self, have, now):
        done = self._swapped()
        told = dict(self._told, database=self.name, ended=list(self._ended), finished=time.time())
        told["recovery"] = _backups.recovery("mysql", self.name, self._told, self._began)
        return dict(told, damaged_copy=done[0] if done else None)

    def write(self, have, want):
        client, done = self._client, self._swapped()
        if want["from"] is None:
            if done is None:
                raise Failed("the copy of %s that was put aside is gone" % self.name)
            self._ended = _mysql_swap.exchange(
                client, self.name, done[0], self.beside, state="verified", served=True
            )
            return
        if client.about["read_only"]:
            raise Failed("the server is read-only: swap on the primary, not on a replica")
        if done is not None:  # cut off in the middle
            aside, told = done[0], done[1].get("told")
        else:
            marks = _mysql_swap.marks(client, self.beside)
            if not self._ours(marks) or marks.get("state") not in ("verified", "moving"):
                raise Failed(
                    "%s is no proved copy from this backup: restore it first (state: restored)" % self.beside
                )
            plan = marks.get("plan") or {}
            tail = "_damaged_" + time.strftime("%Y%m%d_%H%M%S", time.gmtime())
            aside = (
                plan.get("aside")
                or self.params["damaged_name"]
                or _backups.fitting(self.name, tail, _LONGEST)
            )
            told = marks.get("told")
            if not plan and aside in client.schemas():
                raise Failed("there is a database %s already: set damaged_name" % aside)
            if self.name not in client.schemas():
                _mysql_swap.make(client, self.name, self.beside)
            _mysql_swap.refuse(client, self.name)
            _mysql_swap.mark(client, self.beside, state="moving")
        self._ended = _mysql_swap.exchange(
            client, self.name, self.beside, aside, state="swapped", served=False
        )
        self._told = told or {}
