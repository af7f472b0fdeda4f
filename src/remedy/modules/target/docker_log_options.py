"""Keep the logs of Docker's containers from growing without end, by Docker's own options in daemon.json.

Sets max-size and max-file of the driver json-file or local; all else in the file stays as it is. Docker itself
rotates these logs: logrotate must not touch them. It takes effect for containers that are made after Docker's next
start: neither is done here, and those that there are keep their old options until they are made anew (`unlimited`
names them). Refused are another log driver, an option that stands on dockerd's command line as well (Docker would not
start), and a file that is no JSON; where dockerd can check its file (--validate, Docker 23), it must take the new one.
Returns `unlimited` (container, path, size, driver) and `restart_needed`: Docker runs since before the file changed.
"""

import json
import os

from remedy.agent.files import digest
from remedy.agent.kinds import Failed, Param
from remedy.modules.target import _docker_logs, _holders
from remedy.modules.target._content import Content

PARAMS = (
    Param("max_size", "size", default=50 << 20, help="A log of this size is rotated."),
    Param("max_file", "int", default=3, help="So many files of each container are kept."),
    Param("path", "path", default="/etc/docker/daemon.json", help="Docker's configuration."),
)

EXAMPLES = """
- docker_log_options: {max_size: 50M, max_file: 3}
"""


def check_params(params):
    if isinstance(params["max_file"], int) and not 1 <= params["max_file"] <= 1000:
        return "max_file is 1 to 1000"
    if isinstance(params["max_size"], int) and params["max_size"] < 1 << 16:
        return "max_size is at least 64K"
    return None


def kind(params):
    return LogOptions


class LogOptions(Content):
    def locate(self):
        return self.files.real(self.params["path"])

    def key(self):
        return "docker_log_options:%s" % self.path

    def wanted(self, have):
        if os.geteuid() != 0:
            raise Failed("Docker's configuration is for root; add become: true", cause="permission")
        if have is None and not self.host.which("dockerd"):
            raise Failed("there is no dockerd on this host")
        attributes = {"mode": None if have else "0644", "owner": None, "group": None}
        self.params = dict(self.params, unsafe_writes=False, validate="dockerd", **attributes)
        return Content.wanted(self, have)

    def new(self, have):
        known = self._known(have)
        driver = known.get("log-driver", "json-file")
        if driver not in _docker_logs.FILES:
            raise Failed(
                "Docker logs by the driver %s, which has no files to rotate: nothing is to be set" % driver
            )
        options = dict(known.get("log-opts") or {})
        wished = {"max-size": _size(self.params["max_size"]), "max-file": str(self.params["max_file"])}
        if all(str(options.get(name)) == value for name, value in wished.items()):
            return None
        self._refuse_flags()
        options.update(wished)
        known["log-driver"] = driver
        known["log-opts"] = options
        self._content = (json.dumps(known, indent=2) + "\n").encode("utf-8")
        return digest([self._content]), len(self._content)

    def chunks(self, want):
        return iter([self._content])

    def origin(self, want):
        return self._content

    def returns(self, have, now):
        found = Content.returns(self, have, now)
        found.update(unlimited=_docker_logs.unlimited(self.host, 0), restart_needed=self._older(now))
        return found

    def _known(self, have):
        if have is None:
            return {}
        try:
            known = json.loads(self.files.read(self.path).decode("utf-8").strip() or "{}")
        except ValueError as error:
            raise Failed(
                "%s is no JSON (%s): Docker would not start with it, put it right first" % (self.path, error)
            )
        if not isinstance(known, dict) or not isinstance(known.get("log-opts") or {}, dict):
            raise Failed("%s does not hold what Docker expects: an object, with log-opts as one" % self.path)
        return known

    def _refuse_flags(self):
        for _, words in _daemons():
            for word in words:
                if word.partition("=")[0] in ("--log-driver", "--log-opt"):
                    raise Failed(
                        "dockerd is started with %s: with the same in %s it would not start; take it out of its unit"
                        % (word, self.path)
                    )

    def _validate(self, path):
        said = self.host.run(["dockerd", "--help"], ok=None, timeout=20)
        if b"--validate" not in said.stdout:
            return
        done = self.host.run(["dockerd", "--validate", "--config-file", path], ok=None, timeout=20)
        if done.rc:
            why = done.stderr.decode("utf-8", "replace").strip()
            raise Failed(
                "dockerd does not take the new configuration, %s is as it was: %s" % (self.path, why)
            )

    def _older(self, now):
        """Say whether a dockerd that runs was started before its file was last written."""
        if now is None or self.host.check:
            return False
        with open("/proc/stat") as file:
            boot = next(int(line.split()[1]) for line in file if line.startswith("btime"))
        written = os.stat(self.path).st_mtime
        ticks = os.sysconf("SC_CLK_TCK")
        return any(boot + (_holders.started(pid) or 0) / float(ticks) < written for pid, _ in _daemons())


def _daemons():
    """Yield (pid, words of its command line) of each dockerd."""
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open("/proc/%s/comm" % pid, errors="replace") as file:
                if file.read().strip() != "dockerd":
                    continue
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                yield pid, file.read().decode("utf-8", "replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended


def _size(number):
    for letter, bits in (("g", 30), ("m", 20), ("k", 10)):
        if not number % (1 << bits):
            return "%d%s" % (number >> bits, letter)
    return str(number)
