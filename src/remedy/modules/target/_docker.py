"""Docker's Engine API over its Unix socket: no docker program, no library, and a deadline for every answer."""

import json
import os
import re
import socket
import time
from calendar import timegm
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlencode

from remedy.agent.kinds import Failed, Param

SOCKET = "/var/run/docker.sock"
_NEWEST = (1, 47)  # the last version whose answers this code was written for
_PAUSE = 0.05
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[-+]\d\d:\d\d)")

SOCKET_PARAM = Param("socket", "path", default=SOCKET, help="Docker's socket.")
TIMEOUT_PARAM = Param("timeout", "duration", default=30, help="How long Docker may take for one answer.")


class Absent(Failed):
    """There is no Docker at work behind this socket."""


class Refused(Exception):
    """Docker answered with an error: `status` (HTTP) and `message`."""

    def __init__(self, status, message):
        Exception.__init__(self, message)
        self.status = status
        self.message = message


class Engine(object):
    """One Docker daemon. Every call raises Refused, Absent or Failed; after a silence all further ones do."""

    def __init__(self, host, path, timeout):
        self.path = path
        self._host = host
        self._timeout = timeout
        self._silent = None
        self._prefix = None
        self.version = None
        self.api = None

    def get(self, path, **query):
        """Return the answer to a question, from JSON."""
        return self._call("GET", path, query, self._timeout)

    def try_get(self, path, **query):
        """Return the answer to a question that Docker may take long over; after a silence others may be asked."""
        try:
            return self.get(path, **query)
        except Failed:
            self._silent = None
            raise

    def remove(self, path, **query):
        """Remove by id; removing many files may take longer than an answer."""
        return self._call("DELETE", path, query, self._timeout * 5)

    def post(self, path, **query):
        """Start a work that removes something."""
        return self._call("POST", path, query, self._timeout * 5)

    def _call(self, method, path, query, patience):
        if self._prefix is None:
            self._negotiate()
        return self._ask(method, self._prefix + path, query, patience)

    def _negotiate(self):
        if not os.path.exists(self.path):
            raise Absent(
                "there is no Docker socket at %s; where Docker listens elsewhere, give socket" % self.path
            )
        if self._asleep():
            raise Absent("Docker is not running (asking its socket would start it): systemctl start docker")
        answer = self._ask("GET", "/version", {}, self._timeout)
        newest, oldest = (_number(answer.get(name, "1.24")) for name in ("ApiVersion", "MinAPIVersion"))
        if oldest > _NEWEST:
            text = "Docker at %s speaks API %d.%d and newer only, remedy knows up to %d.%d"
            raise Failed(text % ((self.path,) + oldest + _NEWEST))
        self.version = answer.get("Version")
        self.api = min(newest, _NEWEST)
        self._prefix = "/v%d.%d" % self.api

    def _asleep(self):
        """Say whether systemd holds the socket of a daemon that is stopped: to connect would start it."""
        if os.path.realpath(self.path) != "/run/docker.sock" or not os.path.isdir("/run/systemd/system"):
            return False
        argv = ["systemctl", "show", "--property=ActiveState", "--", "docker.socket", "docker.service"]
        try:
            done = self._host.run(argv, ok=None, timeout=self._timeout)
        except Failed:
            return False
        return done.stdout.split() == [b"ActiveState=active", b"ActiveState=inactive"]

    def _ask(self, method, path, query, patience):
        if self._silent is not None:
            raise self._silent
        left = self._host.left()
        patience = patience if left is None else max(1.0, min(patience, left - 1))
        target = path + ("?" + urlencode(query) if query else "")
        link = _Link(self.path, patience)
        try:
            link.request(method, target, headers={"Host": "docker"})
            answer = link.getresponse()
            status, body = answer.status, _whole(answer, link.ends)
        except socket.timeout:
            text = "Docker at %s did not answer within %g s (%s %s); nothing further was asked of it"
            self._silent = Failed(text % (self.path, round(patience, 1), method, path), cause="timeout")
            raise self._silent
        except ConnectionRefusedError:
            raise Absent("nobody listens at %s: Docker is not running" % self.path)
        except FileNotFoundError:
            raise Absent("there is no Docker socket at %s any more" % self.path)
        except PermissionError:
            text = "%s may be used only by root and the group docker; add become: true" % self.path
            raise Failed(text, cause="permission")
        except (HTTPException, ConnectionError) as error:
            raise Failed("Docker at %s ended the talk: %s %s: %r" % (self.path, method, path, error))
        finally:
            link.close()
        return _answer(status, body, self.path)


class _Link(HTTPConnection):
    def __init__(self, path, patience):
        HTTPConnection.__init__(self, "docker", timeout=patience)
        self.ends = time.monotonic() + patience
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        while True:
            self.sock.settimeout(_until(self.ends))
            try:
                return self.sock.connect(self._path)
            except BlockingIOError:  # its queue is full: a daemon that accepts nobody, or is busy
                time.sleep(min(_PAUSE, _until(self.ends)))


def _until(ends):
    left = ends - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left


def _whole(answer, ends):
    """Read an answer to its end; a daemon that sends drop by drop has no more time than another."""
    pieces = []
    while True:
        _until(ends)
        piece = answer.read1(1 << 18)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def _answer(status, body, path):
    try:
        found = json.loads(body.decode("utf-8", "replace")) if body.strip() else None
    except ValueError:
        if status < 400:
            raise Failed("what answers at %s is not Docker: %r" % (path, body[:80]))
        found = None
    if status >= 400:
        message = found.get("message") if isinstance(found, dict) else None
        raise Refused(status, message or "HTTP status %d" % status)
    return found


def _number(text):
    found = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(found.group(1)), int(found.group(2))) if found else (1, 24)


def part(name):
    """Return a name or id as it stands in a path."""
    return quote(name, safe="")


def seconds(text):
    """Return the time of an RFC 3339 text in seconds since 1970; None for Docker's "never" (the year 1)."""
    found = _TIME.match(text or "")
    if found is None or int(found.group(1)) < 1970:
        return None
    fields = [int(found.group(place)) for place in range(1, 7)]
    zone = found.group(8)
    offset = 0
    if zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * (-60 if zone[0] == "-" else 60)
    return timegm(tuple(fields)) - offset + float(found.group(7) or 0)
