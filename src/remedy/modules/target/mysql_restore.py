"""Restore one database of MySQL or MariaDB beside the damaged one, prove it, and let the two change places.

`state: restored` loads the backup (of mysql_backup, or any dump of one database) into a new database, NAME_restored,
and proves it: tables and rows as in the backup, checksums where the backup has them, then your own `checks`. With
`until` it goes on with the binary logs to that point, just before the accident. Whatever is loaded runs as an account
that may write to the new database alone. `state: swapped` then ends the sessions in the database, and exchanges all
tables in one RENAME TABLE; triggers, views, routines and events follow. The damaged tables stay in NAME_damaged_TIME
until somebody drops them: the only copy is never overwritten. Cut off anywhere, it is played again; a swap can be
rolled back.

Returns `database`, `restored_to` and `damaged_copy` (names), `point` (the time of the last data that came back),
`position`, `tables` (rows of the backup, of the restored and of the damaged one), `seconds` and, after a swap, `ended`
and `recovery` (seconds it took, point, rows that only the damaged copy has).
"""

import os
import time

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import (
    _backups,
    _mysql_accidents,
    _mysql_account,
    _mysql_dump,
    _mysql_replay,
    _mysql_swap,
    _mysql_tools,
    _restoring,
)

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
    Param("checks", "list", elements="dict", help="Your own proof: {query, expect}; each query is asked in the "
          "restored database, as an account that may only read there, and must answer that one value."),
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

_GROWTH = 2.5  # bytes on the disk for a byte of a dump: rows, indexes, and the binary log of loading them


def check_params(params):
    if params["state"] == "swapped" and params["confirm"] != params["name"]:
        return "a swap replaces the database %s: expected confirm: %s" % (params["name"], params["name"])
    if not params["backup"].endswith(_mysql_dump.ENDINGS):
        return "backup '%s': expected a dump called .sql or .sql.gz" % params["backup"]
    return (
        _backups.wrong_checks(params)
        or _backups.wrong_name(params, "name", "new_name", "damaged_name")
        or _backups.wrong_path(params, "backup")
        or _mysql_replay.refuse_until(params["until"])
    )


def kind(params):
    return _restoring.kind(params, Restored, Swapped, OfDrill)


class Restored(_restoring.Restoring):
    engine = "mysql"
    longest = 64
    _survey = None

    def __init__(self, params, host):
        _restoring.Restoring.__init__(self, params, host)
        self.client = _mysql_tools.Client(host, params)

    def copies(self):
        found = dict.fromkeys(self.client.schemas())
        found.update(_mysql_swap.marked(self.client))
        return found

    def drop(self):
        self.client.rows("DROP DATABASE %s" % _mysql_tools.name(self.beside), timeout=600)

    def refuse_replica(self):
        """Raise Failed on a server that takes its data from another one."""
        if self.client.about["read_only"]:
            raise Failed("the server is read-only: restore on the primary, not on a replica")

    def load(self):
        client, path = self.client, self.params["backup"]
        self.refuse_replica()
        dump = _mysql_dump.read(path)
        _mysql_dump.refuse(dump, path)
        self._look_ahead(dump["position"])
        self._room(dump)
        known = _backups.manifest(path)
        _mysql_swap.make(client, self.beside, self.name, known.get("charset"))
        about = {"of": self.name, "sha256": self.digest, "until": self.until}
        _mysql_swap.mark(client, self.beside, state="loading", **about)
        with _mysql_account.Loads(client, self.beside) as account:
            self._load(account)
            rows, checksums = self._compare(dump, known.get("tables") or {})
            loaded = time.time()
            if self.until:
                _mysql_replay.replay(client, account, self.name, self.beside, dump["position"], self.until)
        if self.params["checks"]:
            with _mysql_account.Reads(client, self.beside) as account:
                self.ask(account.answer)
        seconds = {"load": round(loaded - self.began, 3), "replay": round(time.time() - loaded, 3)}
        last = self._survey["last"] if self._survey else None
        self.tell(
            max(_backups.made(path, known), (last or {}).get("time") or 0),
            rows,
            self._counts(self.beside),
            self._counts(self.name),
            position=(last or {}).get("position") or (dump["position"] and "%s:%d" % tuple(dump["position"])),
            until=self.until,
            checksums=checksums,
            seconds=seconds,
        )
        _mysql_swap.mark(client, self.beside, state="verified", told=self.told)

    def _look_ahead(self, position):
        """Look at what would be replayed: nothing is loaded for a point that cannot be reached."""
        if not self.until:
            return
        if position is None:
            raise Failed("the backup holds no position in the binary logs: restore it without until")
        self._survey = _mysql_accidents.survey(self.client, self.name, position, self.until)
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
            paths = _mysql_replay.logs(self.client, dump["position"], self.until)[0]
            needed += sum(os.stat(each).st_size for each in paths if os.path.exists(each))
        if os.path.isdir(self.client.about["datadir"]):
            _backups.room(self.client.about["datadir"], needed, "restoring %s" % self.name)

    def _load(self, account):
        path = self.params["backup"]
        script = _backups.FROM_GZIP if path.endswith(".gz") else _backups.FROM_FILE
        words = ["sh", "-c", script, "sh", path] + account.words + [self.beside]
        done = self.host.run(words, c_locale=True, environment=account.environment, ok=None)
        if done.rc != 0:
            raise Failed("loading %s failed: %s" % (path, _mysql_tools.said(done)))
        # Two of an event would do everything twice: they are off until the swap.
        turned = _mysql_swap.set_events(self.client, self.beside, on=False)
        _mysql_swap.mark(self.client, self.beside, events=turned)

    def _compare(self, dump, tables):
        """Compare what was loaded with the backup; return ({table: rows}, how many checksums); raises Failed."""
        kinds = self.client.tables(self.beside)
        named = [each for each in dump["rows"] if kinds.get(each) != "VIEW"]
        rows = self.client.counts(
            self.beside, [each for each in named if kinds.get(each) in _mysql_tools.TABLES]
        )
        wrong = ["%s is missing" % each for each in named if each not in kinds]
        wrong += [
            "%s has %d rows, the backup %d" % (each, rows[each], dump["rows"][each])
            for each in rows
            if rows[each] != dump["rows"][each]
        ]
        sums = {
            each: tables[each]["checksum"] for each in tables if tables[each].get("checksum") and each in rows
        }
        found = self.client.checksums(self.beside, sorted(sums))
        wrong += [
            "%s has another checksum than the backup" % each for each in found if found[each] != sums[each]
        ]
        self.prove(wrong)
        return rows, len(found)

    def _counts(self, database):
        kinds = self.client.tables(database)
        names = [each for each in kinds if kinds[each] in _mysql_tools.TABLES and each != _mysql_swap.MARKS]
        return self.client.counts(database, names)


class Swapped(_restoring.Swapping, Restored):
    def swap(self, done, aside):
        client = self.client
        self.refuse_replica()
        if done is None:
            if self.name not in client.schemas():
                _mysql_swap.make(client, self.name, self.beside)
            _mysql_swap.refuse(client, self.name)
            _mysql_swap.mark(client, self.beside, state="moving")
        self.ended = _mysql_swap.exchange(
            client, self.name, self.beside, aside, state="swapped", served=False
        )

    def back(self, done):
        self.ended = _mysql_swap.exchange(
            self.client, self.name, done[0], self.beside, state="verified", served=True
        )


class OfDrill(Swapped):
    """The database is a drill's own."""

    attended = False
