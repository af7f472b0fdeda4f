"""What a step has come to: status, return values and the change, as they grow."""

_MISSING = object()


class Outcome(object):
    """The result of one step under way; `frame` is what the control machine gets."""

    def __init__(self, step):
        self._id = step["id"]
        self.kind = None
        self.object = None
        self.kept = []  # what was left alone, as {item, reason}
        self._change = None
        self._happened = False
        self._status = "failed"
        self._reason = ""
        self._result = {"changed": False}

    def ok(self, reason, returned):
        """There was nothing to do."""
        self._status, self._reason = "ok", reason
        self._result = dict(returned or {}, changed=False)

    def skip(self, reason):
        """The step was left out."""
        self._status, self._reason = "skipped", reason
        self._result = {"changed": False, "skipped": True, "msg": reason}
        if self.kind == "command":
            self._result["rc"] = 0

    def unknown(self, reason):
        """Check mode cannot tell."""
        self._status, self._reason = "unknown", reason
        self._result = {"changed": False, "msg": reason}

    def fail(self, message, cause=None, returned=None):
        """The step failed; a change that was made nevertheless is reported with it."""
        self._status, self._reason = "failed", message
        self._result = dict(returned or {}, changed=self._happened, failed=True, msg=message)
        if cause is not None:
            self._result["cause"] = cause

    def changed(self, returned, after, predicted=False):
        """The change was made, or would be."""
        self._status = "changed"
        self._result = dict(returned or {}, changed=True)
        self._change["after"] = after
        self._change["predicted"] = predicted
        self._happened = True

    def command(self, returned):
        """A command ended with these return values."""
        failed = bool(returned.get("failed", returned.get("rc", 0) != 0))
        returned.setdefault("changed", True)
        self._status = "failed" if failed else ("changed" if returned["changed"] else "ok")
        if failed:
            returned["failed"] = True
            returned["msg"] = returned.get("msg") or "non-zero return code"
            self._reason = returned["msg"]
        self._result = returned

    def plan(self, before, want, diff, means=None):
        """Remember what is about to change; return the change, to be completed."""
        self._change = {
            "id": self._id,
            "kind": self.kind,
            "object": self.object,
            "before": before,
            "want": want,
            "after": None,
            "diff": diff,
            "means": means,
            "bytes_freed": None,
            "predicted": False,
            "irreversible": None,
        }
        return self._change

    def intent(self, kept, needs, items=None):
        """Return the `intent` frame for the planned change."""
        names = ("kind", "object", "before", "want", "irreversible", "diff", "means")
        frame = {name: self._change[name] for name in names}
        frame.update(t="intent", step=self._id, change=self._id, kept=kept, needs=needs, items=items)
        return frame

    def wrote(self, now):
        """The object was written, and reads like this now."""
        self._happened = True
        self._change["after"] = now

    def looking_again(self, module):
        """Return a context: when the write in it fails, the object is read again, for the journal."""
        return _LookAgain(self, module)

    def look(self, module):
        """After a failed write: say what the object is like now, where that can be seen."""
        try:
            now = module.read()
        except Exception:
            self._change["after_unknown"] = True
            self.wrote(None)
            return
        if now != self._change["before"]:
            self.wrote(now)

    def frame(self, seconds):
        """Return the `result` frame."""
        predicted = self._status == "changed" and self._change is not None and self._change["predicted"]
        return {
            "t": "result",
            "step": self._id,
            "status": self._status,
            "reason": self._reason,
            "result": self._result,
            "kept": self.kept,
            "seconds": seconds,
            "object": self.object,
            "change": self._change if self._happened or predicted else None,
        }


class _LookAgain(object):
    def __init__(self, outcome, module):
        self._outcome = outcome
        self._module = module

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, Exception):
            self._outcome.look(self._module)
        return False


def failure(step, message, cause=None, change=None):
    """Return the `result` frame of a step (its id) that did not come to an end of its own."""
    result = {"changed": False, "failed": True, "msg": message}
    if cause is not None:
        result["cause"] = cause
    return {
        "t": "result",
        "step": step,
        "status": "failed",
        "reason": message,
        "result": result,
        "kept": [],
        "seconds": 0.0,
        "object": None if change is None else change["object"],
        "change": change,
    }


def plain(value):
    """Return a state as it looks after a journey: lists for tuples, text for the keys."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def differing(have, want):
    """Return the names of the keys in which two states differ."""
    if isinstance(have, dict) and isinstance(want, dict):
        keys = [key for key in list(have) + [k for k in want if k not in have] if _differ(have, want, key)]
        return ", ".join(str(key) for key in keys)
    if have is None or want is None:
        return "it is there" if want is None else "it is absent"
    return "the state"


def _differ(have, want, key):
    return have.get(key, _MISSING) != want.get(key, _MISSING)
