"""Drop-ins of systemd that are gone after a reboot: /run/systemd/system/UNIT.d/50-remedy-drill.conf."""

import os

from remedy.agent.kinds import Failed
from remedy.agent.paths import native
from remedy.modules.target._systemd import Units, booted
from remedy.modules.target.faults._fault import MARK

FOLDER = "/run/systemd/system"


class DropIn(object):
    """Our drop-in of one unit. Its first line is a comment: `# remedy-drill: ` and what its maker wants to know."""

    def __init__(self, host, name):
        if not booted():
            raise Failed("no systemd runs this host: there is no unit to break")
        self.units = Units(host)
        self._name = name if "." in name else name + ".service"
        self._unit = None

    @property
    def unit(self):
        """The unit's own name (an alias leads to it); raises Failed where there is none."""
        if self._unit is None:
            status = self.units.show(self._name)
            if status["LoadState"] == "not-found":
                text, close = self.units.missing(self._name)
                raise Failed(text + ("; did you mean %s?" % close if close else ""))
            self._unit = status["Id"]
        return self._unit

    @property
    def path(self):
        """Where the drop-in is, or would be."""
        return "%s/%s.d/50-%s.conf" % (FOLDER, self.unit, MARK)

    def note(self):
        """Return what the first line notes, None where there is no drop-in of ours."""
        try:
            with open(native(self.path), encoding="utf-8") as file:
                return file.readline().partition(": ")[2].strip()
        except FileNotFoundError:
            return None

    def write(self, note, *lines):
        """Put the drop-in there, and let systemd read it."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(native(folder)):
            os.makedirs(native(folder), 0o755)
        with open(native(self.path), "w", encoding="utf-8") as file:
            file.write("\n".join(("# %s: %s" % (MARK, note),) + lines) + "\n")
        self.units.manager("daemon-reload")

    def remove(self):
        """Take the drop-in away, with its folder if that is empty then."""
        try:
            os.unlink(native(self.path))
            os.rmdir(native(os.path.dirname(self.path)))
        except OSError:
            pass  # it is gone already, or somebody else has a drop-in there, too
        self.units.manager("daemon-reload")

    def status(self):
        """Return the unit's properties now."""
        return self.units.show(self.unit)
