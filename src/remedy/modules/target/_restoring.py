"""What restores of MySQL and of PostgreSQL share: a database beside the damaged one, and the two changing places.

A restored database carries remedy's marks (a table, a comment): of which database and backup it is, and how far it is.
After the swap the damaged copy carries them, so that the same restore finds nothing left to do.
"""

import os
import time

from remedy.agent.kinds import Failed, Irreversible, Resource, Unknown
from remedy.agent.paths import failed
from remedy.modules.target import _backups


class Restoring(Resource):
    """The database beside the damaged one. MUST answer copies, drop and load; `engine` and `longest` (name) are set."""

    interruptible = False
    deadline = 0
    engine = ""
    longest = 63

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self.began = time.time()
        self.told = {}
        self.name = params["name"]
        self.beside = params["new_name"] or _backups.fitting(self.name, "_restored", self.longest)
        self._digest = None

    def copies(self):
        """Return {database: remedy's marks, None where it is not remedy's} of all databases."""
        raise NotImplementedError

    def drop(self):
        """Drop the database beside, which is remedy's."""
        raise NotImplementedError

    def load(self):
        """Make the database beside, and prove it."""
        raise NotImplementedError

    @property
    def until(self):
        """How far it goes beyond the backup."""
        return self.params.get("until")

    @property
    def digest(self):
        """The backup's SHA-256, which tells it from others whatever it is called."""
        if self._digest is None:
            path = self.params["backup"]
            if self.host.check and not os.path.exists(path):
                raise Unknown("the backup %s is not there, or not yet" % path)
            try:
                self._digest = _backups.sha256(path)
            except OSError as error:
                raise failed(error, "read", path)
            wrong = _backups.differing(_backups.manifest(path), self._digest)
            if wrong:
                raise Failed("the backup %s cannot be used: %s; choose another one" % (path, wrong))
        return self._digest

    def ours(self, marks):
        """Say whether marks are those of this very restore."""
        wanted = {"of": self.name, "sha256": self.digest, "until": self.until}
        return all((marks or {}).get(each) == wanted[each] for each in wanted)

    def swapped(self):
        """Return the copy that this restore has put aside, as (its name, its marks), None where there is none."""
        for each, marks in sorted(self.copies().items()):
            if each != self.beside and self.ours(marks) and marks.get("state") in ("moving", "swapped"):
                return each, marks
        return None

    def key(self):
        return "%s database:%s" % (self.engine, self.beside)

    def read(self):
        done = self.swapped()
        if done is not None:
            self.told = done[1].get("told") or {}
            return self._state("verified")
        known = self.copies()
        if self.beside not in known:
            return None
        marks = known[self.beside]
        if marks is None:
            raise Failed(
                "there is a database %s already, and it is none that remedy restored: set new_name"
                % self.beside
            )
        if not self.ours(marks):
            return {"of": marks.get("of"), "sha256": marks.get("sha256"), "data": "others"}
        self.told = marks.get("told") or {}
        if marks.get("served"):
            return self._state("served")
        return self._state("verified" if marks.get("state") in ("verified", "moving") else "unfinished")

    def _state(self, data):
        return {"of": self.name, "sha256": self.digest, "until": self.until, "data": data}

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
        done = self.swapped()
        if done is not None:
            return "it stands in its place already; the damaged copy is %s" % done[0]
        return "it is restored and proved already, in %s" % self.beside

    def keep(self, have):
        if have is not None:
            return Irreversible("what was left of an earlier restore in %s goes" % self.beside)
        return {"state": None}

    def keep_undone(self, have, kept):
        return Irreversible("the restored copy goes: the backup is still there")

    def stays(self, have):
        if have is None:
            return None
        done = self.swapped()  # in check mode the swap that is taken back before stands still
        if done is not None and done[1].get("state") == "moving":
            return "the swap was cut off in its middle: play it again, then take it back"
        if done is not None or have["data"] == "served":
            return (
                "the restored copy of %s has been in service, and may hold what nobody else has:"
                " drop it when nobody needs it any more" % self.name
            )
        return None

    def diff(self, have, want):
        text = "%s, restored from %s" % (self.beside, self.params["backup"])
        text += " and the binary logs until %s" % self.until if self.until else ""
        return {
            "before": "" if have is None else "%s, %s\n" % (self.beside, have["data"]),
            "after": "" if want is None else text + "\n",
        }

    def returns(self, have, now):
        return dict(self.told, database=self.name, restored_to=self.beside)

    def write(self, have, want):
        known = self.copies()
        if self.beside in known:
            if known[self.beside] is None:
                raise Failed("%s is none that remedy restored, and stays" % self.beside)
            if want is not None or not self.swapped():
                self.drop()
        if want is not None:
            self.load()

    def tell(self, point, rows, restored, damaged, **more):
        """Take down what came of it: {table: rows} of the backup, of the restored and of the damaged database."""
        self.told = dict(
            more,
            point=point,
            tables=[
                {
                    "table": each,
                    "backup": rows.get(each),
                    "restored": restored.get(each),
                    "damaged": damaged.get(each),
                }
                for each in sorted(set(restored) | set(damaged))
            ],
        )

    def prove(self, wrong):
        """Raise Failed where anything is wrong with the restored copy."""
        if wrong:
            raise Failed(
                "the restored copy %s is not what the backup says: %s" % (self.beside, "; ".join(wrong[:8]))
            )

    def ask(self, answer):
        """Put the operator's own checks to `answer(query)`, which returns a text."""
        for each in self.params["checks"] or ():
            found = answer(str(each["query"]))
            if found != str(each["expect"]):
                raise Failed(
                    "the restored copy %s does not stand your check: %s answers %s, expected %s"
                    % (self.beside, each["query"], found[:200], each["expect"])
                )


def kind(params, restored, swapped, of_drill):
    """Return which of a module's classes is meant; nobody misses what a database holds that a drill has made."""
    if params.get("state") != "swapped":
        return restored
    return of_drill if str(params.get("name")).startswith("remedy_drill_") else swapped


class Swapping(object):
    """The restored database in the place of the damaged one; goes before a Restoring. MUST answer swap and back."""

    disruptive = True  # what is there now is put aside, not destroyed
    attended = True  # which data are in service is for people to say
    ended = ()

    def swap(self, done, aside):
        """Let them change places; `aside` is what the damaged one is called then, `done` a swap that was cut off."""
        raise NotImplementedError

    def back(self, done):
        """Let them change back; `done` is what `swapped` returned."""
        raise NotImplementedError

    def key(self):
        return "%s database:%s" % (self.engine, self.name)

    def read(self):
        done = self.swapped()
        if done is None or done[1].get("state") != "swapped":
            return {"from": None, "until": None}
        self.told = done[1].get("told") or {}
        return self.wanted(None)

    def wanted(self, have):
        return {"from": self.digest, "until": self.until}

    def why(self, have):
        return "it stands in its place already; the damaged copy is %s" % self.swapped()[0]

    def keep(self, have):
        return {"state": have}

    def keep_undone(self, have, kept):
        return {"state": have}

    def stays(self, have):
        return None

    def diff(self, have, want):
        return {
            "before": "%s as it is now, and its sessions\n" % self.name,
            "after": "%s as restored from %s; what is there now stays as %s_damaged_TIME\n"
            % (self.name, self.params["backup"], self.name),
        }

    def means(self, have, want):
        path = self.params["backup"]
        made = _backups.made(path, _backups.manifest(path))
        age = max(0.0, time.time() - made)
        data = "the data of %s, made %s, %s ago" % (path, _backups.stamp(made), _backups.span(age))
        if self.until:
            data += ", and the binary logs until %s" % self.until
        aside = self.params["damaged_name"] or "%s_damaged_TIME" % self.name
        return "its sessions end, and it holds %s; what it holds now stays as %s" % (data, aside)

    def returns(self, have, now):
        done = self.swapped()
        told = dict(self.told, database=self.name, ended=list(self.ended), finished=time.time())
        told["recovery"] = _backups.recovery(self.engine, self.name, self.told, self.began)
        return dict(told, damaged_copy=done[0] if done and done[0] != self.name else None)

    def write(self, have, want):
        done, known = self.swapped(), self.copies()
        if want["from"] is None:
            if done is None:
                raise Failed("the copy of %s that was put aside is gone" % self.name)
            if self.beside in known:
                raise Failed("there is a database %s already: drop or rename it first" % self.beside)
            self.back(done)
            return
        if done is not None:  # cut off in the middle
            self.swap(done, done[0])
            return
        marks = known.get(self.beside)
        if not self.ours(marks) or marks.get("state") not in ("verified", "moving"):
            raise Failed(
                "%s is no proved copy from this backup: restore it first (state: restored)" % self.beside
            )
        planned = (marks.get("plan") or {}).get("aside")
        tail = "_damaged_" + time.strftime("%Y%m%d_%H%M%S", time.gmtime())
        aside = planned or self.params["damaged_name"] or _backups.fitting(self.name, tail, self.longest)
        if planned is None and aside in known:
            raise Failed("there is a database %s already: set damaged_name" % aside)
        self.swap(None, aside)
