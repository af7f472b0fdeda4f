"""Wait until a port answers or falls silent, a file appears or goes, or a text turns up in either.

With neither port nor path it waits for `timeout` seconds. Returns `elapsed`, `state`, `port`, `path`,
`search_regex`, `match_groups` and `match_groupdict`.
"""

import os
import re
import socket
import time

from remedy.agent.kinds import Failed, Param, Probe

# include/net/tcp_states.h; /proc/net/tcp shows these numbers.
STATES = {
    "ESTABLISHED": "01",
    "SYN_SENT": "02",
    "SYN_RECV": "03",
    "FIN_WAIT1": "04",
    "FIN_WAIT2": "05",
    "TIME_WAIT": "06",
}
_READ = 1 << 20

PARAMS = (
    Param("host", default="127.0.0.1", help="The host of the port, seen from the target."),
    Param("port", "int", help="The port to watch."),
    Param("path", "path", help="The file to watch."),
    Param("search_regex", help="A regular expression that the file or the port's output must hold."),
    Param(
        "state",
        default="started",
        choices=("absent", "drained", "present", "started", "stopped"),
        help="What to wait for; drained means that no connection is left.",
    ),
    Param("timeout", "duration", default=300, help="Fail after this time."),
    Param("delay", "duration", default=0, help="Wait this long before the first look."),
    Param("sleep", "duration", default=1, help="Wait this long between two looks."),
    Param("connect_timeout", "duration", default=5, help="How long one try to connect may take."),
    Param("exclude_hosts", "list", elements="str", help="Hosts whose connections do not count for drained."),
    Param(
        "active_connection_states",
        "list",
        elements="str",
        default=("ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"),
        choices=tuple(sorted(STATES)),
        help="The states of a connection that count for drained.",
    ),
    Param("msg", help="The text of the failure, instead of remedy's own."),
)

EXAMPLES = """
- wait_for: {port: 3306, timeout: 30s}
- wait_for: {path: /var/log/app.log, search_regex: "started in (\\\\d+) ms"}
"""


def check_params(params):
    if params["port"] is not None and params["path"]:
        return "give port or path, not both"
    if params["path"] and params["state"] in ("stopped", "drained"):
        return "state %s is about a port, not a path" % params["state"]
    if params["exclude_hosts"] and params["state"] != "drained":
        return "exclude_hosts needs state: drained"
    if params["state"] == "drained" and params["port"] is None:
        return "state drained needs a port"
    try:
        re.compile(params["search_regex"] or "")
    except re.error as error:
        return "search_regex is no regular expression: %s" % error
    return None


def kind(params):
    # Asked before the templates are rendered, too: then the class matters, and its deadline does not.
    times = [params["timeout"], params["delay"]]
    seconds = sum(time for time in times if isinstance(time, (int, float)))
    return type("WaitFor", (WaitFor,), {"deadline": seconds + 30})


class WaitFor(Probe):
    cost = "expensive"

    def read(self):
        begun = time.monotonic()
        end = begun + self.params["delay"] + self.params["timeout"]
        match = None
        time.sleep(self.params["delay"])
        if self.params["port"] is None and not self.params["path"]:
            time.sleep(max(0, end - time.monotonic()))
        else:
            while True:
                done, match = self._look(
                    max(0.1, min(self.params["connect_timeout"], end - time.monotonic()))
                )
                if done:
                    break
                left = end - time.monotonic()
                if left <= 0:
                    raise Failed(self.params["msg"] or self._late(), cause="timeout", elapsed=_since(begun))
                time.sleep(min(self.params["sleep"], left))
        found = {name: self.params[name] for name in ("state", "port", "path", "search_regex")}
        found["elapsed"] = _since(begun)
        found["match_groups"] = list(match.groups()) if match else []
        found["match_groupdict"] = match.groupdict() if match else {}
        return found

    def _look(self, patience):
        """Return (whether it is so now, the match of search_regex)."""
        state = self.params["state"]
        if state == "drained":
            return not self._connections(), None
        look = self._port if self.params["path"] is None else self._file
        there, match = look(patience)
        if state in ("absent", "stopped"):
            return not there, None
        return there, match

    def _file(self, patience):
        path = os.path.expanduser(self.params["path"])
        if not self.params["search_regex"]:
            return os.path.exists(path), None
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            return False, None
        return self._search(content)

    def _port(self, patience):
        end = time.monotonic() + patience
        try:
            link = socket.create_connection((self.params["host"], self.params["port"]), patience)
        except OSError:
            return False, None
        with link:
            if not self.params["search_regex"] or self.params["state"] in ("absent", "stopped"):
                return True, None
            content = b""
            while len(content) < _READ:
                link.settimeout(max(0.05, end - time.monotonic()))
                try:
                    part = link.recv(4096)
                except OSError:
                    break
                content += part
                found, match = self._search(content)
                if found or not part or time.monotonic() > end:
                    return found, match
        return False, None

    def _search(self, content):
        match = re.search(self.params["search_regex"], content.decode("utf-8", "replace"), re.MULTILINE)
        return match is not None, match

    def _connections(self):
        """Count the connections to the port in /proc/net/tcp and tcp6 that are active and not excluded."""
        states = {STATES[name] for name in self.params["active_connection_states"]}
        local = _addresses(self.params["host"])
        excluded = {address for name in self.params["exclude_hosts"] or () for address in _addresses(name)}
        count = 0
        for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
            try:
                with open(table) as file:
                    lines = file.readlines()[1:]
            except OSError:
                continue
            for line in lines:
                here, there, state = line.split()[1:4]
                address, _, port = here.partition(":")
                if state in states and int(port, 16) == self.params["port"]:
                    ours = not local or _address(address, family) in local
                    count += ours and _address(there.partition(":")[0], family) not in excluded
        return count

    def _late(self):
        what = self.params["path"] or "%s:%s" % (self.params["host"], self.params["port"])
        state = self.params["state"]
        if self.params["search_regex"] and state in ("started", "present"):
            wanted = "%r was not found in %s" % (self.params["search_regex"], what)
        elif state in ("absent", "stopped"):
            wanted = "%s was still there" % what
        elif state == "drained":
            wanted = "%s still had %d connections" % (what, self._connections())
        else:
            wanted = "%s %s" % (what, "did not appear" if self.params["path"] else "did not answer")
        return "%s after %g seconds" % (wanted, self.params["timeout"])


def _since(begun):
    return int(time.monotonic() - begun)


def _addresses(name):
    """Return all addresses of a host; none where the host stands for every address."""
    if name in ("0.0.0.0", "::"):
        return set()
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None)}
    except OSError as error:
        raise Failed("cannot resolve %s: %s" % (name, error))
    return found


def _address(digits, family):
    """Turn /proc/net's hexadecimal words, each in the machine's byte order, into an address."""
    raw = bytes.fromhex(digits)
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    raw = b"".join(word[::-1] if _LITTLE else word for word in words)
    text = socket.inet_ntop(family, raw)
    return text[7:] if text.startswith("::ffff:") and "." in text else text


_LITTLE = socket.htons(1) != 1
