"""A batch under way: which step is next, and why none is."""

import time


class Batch(object):
    """Steps in their order; `worker` is who runs the current `step`, None between two."""

    def __init__(self, id, steps):
        self.id = id
        self.started = time.monotonic()
        self.announced = False
        self.worker = None
        self.step = None
        self._steps = list(steps)
        self._why = None
        self._failed_group = None

    def next(self):
        """Return the next step, None when the batch is over."""
        if not self._steps or (self._why == "failed" and not self._same_group()):
            return None
        if self._why not in (None, "failed"):
            return None
        self.step = self._steps.pop(0)
        return self.step

    def _same_group(self):
        group = self._steps[0].get("group")
        return group is not None and group == self._failed_group

    def finished(self, status):
        """The current step has a result."""
        self.worker = None
        if status == "failed" and not self.step.get("ignore"):
            self._failed_group = self.step.get("group")
            self.stop("failed")

    def refuse(self, why):
        """The current step could not be started."""
        self.worker = None
        self._steps.insert(0, self.step)
        self._why = why

    def stop(self, why):
        """Let nothing start any more."""
        self._why = self._why if self._why not in (None, "failed") else why

    def ended(self):
        """Return the `ended` frame."""
        not_run = [step["id"] for step in self._steps]
        return {"t": "ended", "batch": self.id, "not_run": not_run, "why": self._why}
