"""What all faults share: they are there as a whole, in part, or not at all, and `absent` needs no memory of the run.

Everything that a fault makes carries remedy's mark in its name, so that it is found again, and nothing else is.
"""

import os

from remedy.agent.kinds import Failed, Irreversible, Param, Resource

MARK = "remedy-drill"

_PARTS = {True: "entirely", False: "in part"}

STATE = Param(
    "state", default="present", choices=("present", "absent"), help="Break it, or make it as it was before."
)


def name_param(default="drill"):
    """Return the parameter that tells several faults of a kind on one host apart."""
    return Param("name", default=default, help="Tells several such faults on one host apart.")


def wrong_name(params):
    """Return what is wrong with the name, which becomes a part of names of files and units."""
    name = params["name"]
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isalnum() and len(name) <= 40 and all(ord(letter) < 128 for letter in name)):
        return "name '%s': expected up to 40 letters, digits, - and _" % name
    return None


def wrong_path(params, name="path"):
    """Return what is wrong with a path: one that is not absolute would mean another place than is written."""
    if not params[name].startswith("/"):
        return "%s '%s': expected an absolute path, such as /var/log" % (name, params[name])
    return None


class Fault(Resource):
    """One fault. A subclass MUST answer key, found, inject and lift."""

    deadline = 300

    def found(self):
        """Return True where the fault is there as a whole, False where only a part of it is, None where nothing."""
        raise NotImplementedError

    def inject(self):
        """Break it; a part may be there already."""
        raise NotImplementedError

    def lift(self):
        """Remove all that `inject` has made, whatever else happened since."""
        raise NotImplementedError

    def read(self):
        if os.geteuid() != 0:
            raise Failed("faults are for root; add become: true", cause="permission")
        found = self.found()
        return None if found is None else {"broken": _PARTS[found]}

    def wanted(self, have):
        return {"broken": _PARTS[True]} if self.params["state"] == "present" else None

    def write(self, have, want):
        if want is None:
            self.lift()
        else:
            self.inject()

    def left(self, want):
        # A runbook may have healed it since: what is left of the fault is taken back all the same.
        return None if want is None else {"broken": _PARTS[False]}

    def keep(self, have):
        if have == {"broken": _PARTS[False]}:
            return Irreversible("a part of the fault was there before, which nobody can bring back")
        return {"state": have}

    def why(self, have):
        return "there is no such fault" if have is None else "it is broken already"

    def diff(self, have, want):
        before, after = (
            "as it was" if state is None else "broken " + state["broken"] for state in (have, want)
        )
        return {"before": before + "\n", "after": after + "\n"}
