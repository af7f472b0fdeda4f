"""The kinds of module: what a module MUST and MAY answer, so that the engine can do the rest.

Check mode, diff, "changed", verification and rollback follow from these answers; no module computes them.
A module file in `modules/target/` holds: a docstring (one sentence, then details), `PARAMS` (a tuple of Param),
`kind(params)` (the class for these parameters), and MAY hold `FREE_FORM` (the parameter that takes bare text),
`EXAMPLES` (YAML text) and `prepare(params, source)` (its half on the control machine, see modules/prepare.py).
"""

REQUIRED = object()


class Param(object):
    """One parameter: its name, type, default, choices, aliases, whether it is secret, and one sentence of help.

    Types: str, path, int, float, bool, list, dict, raw, mode (octal or symbolic), size (bytes; "10M"),
    duration (seconds; "3d"), percent (0 to 100; "85%"). `elements` is the type of a list's items.
    """

    def __init__(
        self, name, type="str", default=None, choices=(), aliases=(), secret=False, elements=None, help=""
    ):
        self.name = name
        self.type = type
        self.default = default
        self.choices = tuple(choices)
        self.aliases = tuple(aliases)
        self.secret = secret
        self.elements = elements
        self.help = help

    @property
    def required(self):
        return self.default is REQUIRED


class Failed(Exception):
    """A module cannot do what it was asked; the message says what, expected, and what to do.

    `result` holds further return values (rc, stdout...). `cause` is disk_full, no_inodes, read_only, permission,
    timeout or None.
    """

    def __init__(self, message, cause=None, **result):
        Exception.__init__(self, message)
        self.message = message
        self.cause = cause
        self.result = result


class Skipped(Exception):
    """There is nothing to do by the user's own condition (creates, removes); the message says why."""


class Unknown(Exception):
    """Check mode cannot tell what would happen; the message says what it hangs on."""


class Irreversible(object):
    """Returned by `Resource.keep` instead of what undo needs: why the change cannot be undone.

    `saved` ({name: bytes, at most 1 MiB together, else nothing is saved}) becomes files in the run's folder on the
    control machine, before the change is made: what a person would want to have then, such as a partition table.
    """

    def __init__(self, reason, saved=None):
        self.reason = reason
        self.saved = saved


class Item(object):
    """One thing a Sweep found: its id, the reason to take or keep it, its size in bytes.

    `identity` is a plain list that `drain` compares before it acts (device, inode, size, mtime; session id and
    start; image id), so that what changed since is skipped. `count`: it stands for so many (the keys of a pattern).
    """

    def __init__(self, id, take, reason, size=0, identity=(), count=None):
        self.id = id
        self.take = take
        self.reason = reason
        self.size = size
        self.identity = list(identity)
        self.count = count


def listed(items, noun):
    """Return Items as the journal, the report and the approval take them."""
    told = []
    for item in items:
        each = {"item": item.id, "reason": item.reason, "size": item.size, "identity": item.identity}
        if item.count is not None:
            each["count"] = item.count
        if noun:
            each["noun"] = noun
        told.append(each)
    return told


class Module(object):
    """What all kinds share. `params` are checked and complete; `host` is the agent's `Host`.

    A class MAY set `destructive` (D: it destroys something), `disruptive` (R: it interrupts a service), beside one of
    these `attended` (!: only by hand, with a variable of its own and --yes; no schedule can be permitted to do it),
    `interruptible` = False (a deadline or a lost link lets the step under way finish), `deadline` (seconds).
    """

    kind = ""
    destructive = False
    disruptive = False
    attended = False
    interruptible = True
    deadline = 60

    def __init__(self, params, host):
        self.params = params
        self.host = host


class Probe(Module):
    """Reads. MUST answer `read`; can never report a change. `cost` is "cheap" or "expensive"."""

    kind = "probe"
    cost = "cheap"

    def read(self):
        """Return the return values, a dict."""
        raise NotImplementedError


class Resource(Module):
    """One object with a state. MUST answer key, read, wanted and write; MAY answer the rest.

    A state is plain data (dict, or None: absent); a hash stands for content. States are compared with ==, so
    they hold what the module looks after and nothing that changes by itself (no mtime).
    """

    kind = "resource"

    def key(self):
        """Return the object's canonical id, such as "file:/etc/hosts"."""
        raise NotImplementedError

    def read(self):
        """Return the state now; cheap."""
        raise NotImplementedError

    def wanted(self, have):
        """Return the state that should be, made from `have` and the parameters; `have` itself where it fits."""
        raise NotImplementedError

    def write(self, have, want):
        """Bring the object from `have` to `want`."""
        raise NotImplementedError

    def keep(self, have):
        """Return what `undo` needs (a dict, bytes allowed), or Irreversible(reason)."""
        return {"state": have}

    def keep_undone(self, have, kept):
        """Return what taking back `undo(kept)` needs, which may be more than the change itself needed."""
        return self.keep(have)

    def undo(self, kept):
        """Bring back what `keep` returned."""
        self.write(self.read(), kept["state"])

    def before_undo(self, kept):
        """Raise Failed where bringing back what `keep` returned would do harm; in check mode it is asked, too."""

    def stays(self, have):
        """Return why an undo leaves the object as it is though it could bring it back, None where it does not."""
        return None

    def left(self, want):
        """Return how a wanted state reads once it is written, where that differs (a time that was "now")."""
        return want

    def needs(self, have, want):
        """Return the ids of the sources whose content `write` will ask for: they travel with the word."""
        return []

    def diff(self, have, want):
        """Return {"before": text, "after": text} and MAY add headers; {"after_source": id} for content that is
        still on the control machine; {"note": text} where lines say less than words. None: the report shows the two
        states."""
        return None

    def means(self, have, want):
        """Return what a change comes to, for whoever is asked to approve it; None: the object's id says enough."""
        return None

    def why(self, have):
        """Return why nothing is to be done."""
        return "already as wanted"

    def returns(self, have, now):
        """Return further return values; `now` is the state after the write, or the wanted one in check mode."""
        return {}

    def predict(self, have, want):
        """Check mode: tell the host's view what the tasks that follow should see."""


class Sweep(Module):
    """Drains many items. MUST answer find and drain. Always irreversible.

    A class MAY say in a word what has `happened` to the items then: emptied; and what one is called: `noun`, session.
    """

    kind = "sweep"
    happened = "removed"
    noun = ""
    destructive = True

    def key(self):
        """Return what is swept, such as "old files in /tmp"."""
        raise NotImplementedError

    def find(self):
        """Return the Items, those to take and those to keep, each with the reason; cut-offs are frozen once."""
        raise NotImplementedError

    def keep(self, items):
        """Return {name: bytes}: what of the items about to be taken is worth keeping (evidence, a log's tail).

        They become files in the run's folder on the control machine before the first item is taken.
        """
        return {}

    def drain(self, item):
        """Take one item; return the bytes freed, or a text: why it was left after all (it changed, it is open)."""
        raise NotImplementedError

    def returns(self, taken, kept):
        """Return further return values."""
        return {}


class Action(Module):
    """Something that happens: restart, reboot, forced rotation. MUST answer key, do and proof.

    A class SHOULD say in a word what has `happened` to the object then: restarted, rotated.
    """

    kind = "action"
    happened = "done"
    noun = ""

    def key(self):
        """Return what is acted on, such as "unit:nginx.service"."""
        raise NotImplementedError

    def ready(self):
        """Return None when it can be done, else raise Failed; return a text: why there is nothing to do."""
        return None

    def state(self):
        """Return what `proof` compares (boot id, InvocationID)."""
        return None

    def takes(self, before):
        """Return the Items that it would destroy, for the approval; `before` is the state."""
        return []

    def do(self):
        """Do it; return further return values; `bytes_freed` among them is the change's."""
        raise NotImplementedError

    def proof(self, before):
        """Return the state after; raise Failed when it did not happen."""
        raise NotImplementedError


class Command(Module):
    """What the user wrote. MUST answer run, MAY answer check. Skipped in check mode unless the task says otherwise."""

    kind = "command"
    deadline = 1800

    def run(self):
        """Run it; return the return values with "rc"; raise Skipped by creates or removes."""
        raise NotImplementedError

    def check(self):
        """Check mode: raise Skipped where creates or removes say that it would not run."""
