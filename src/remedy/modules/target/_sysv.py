"""Init scripts, where no systemd runs: the `service` program in the words that systemd's properties have."""

import os

from remedy.agent.kinds import Failed

FOLDERS = ("/etc/init.d", "/etc/rc.d/init.d")


class Scripts(object):
    """What service needs of Units: show, change and missing."""

    def __init__(self, host):
        self.host = host

    def show(self, name):
        """Ask the script for its status: 0 is running; the LSB names 1 to 3 for what is not."""
        if not any(os.path.exists(os.path.join(folder, name)) for folder in FOLDERS):
            return {"Id": name, "LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
        rc = self.host.run(["service", name, "status"], ok=(0, 1, 2, 3), c_locale=True).rc
        active = "inactive" if rc else "active"
        return {"Id": name, "LoadState": "loaded", "ActiveState": active, "SubState": "", "Result": "success"}

    def change(self, verb, name):
        """Run start, stop, restart or reload."""
        done = self.host.run(["service", name, verb], ok=None, c_locale=True)
        if done.rc:
            said = (done.stderr or done.stdout).decode("utf-8", "surrogateescape").strip()
            raise Failed("cannot %s %s: %s" % (verb, name, said or "rc %d" % done.rc), rc=done.rc)

    def manager(self, verb):
        """Refuse: there is no manager to reload."""
        raise Failed("no systemd runs this host: there is nothing for %s" % verb)

    def missing(self, name):
        """Return (text, None) about a script that does not exist."""
        return "no systemd runs this host, and there is no init script %s" % name, None
