"""The relay: on the host, as whoever may log in to a service, between the channel and the service's socket.

It travels in the place of the agent's importer (see docs/protocol.md, "Start"). `start` says one line of JSON,
{"to": address} or {"error": text}, and then passes bytes both ways until one side ends.
"""

import json
import os
import pwd
import socket
import sys
import threading

_CHUNK = 1 << 16
_PATIENCE = 10  # seconds for the service to take the connection


def start(sources):
    """Connect to the first of the addresses that answers, and pass bytes on; does not return.

    `sources["addresses"]` is JSON: a list of paths of Unix sockets and of [host, port]; `sources["users"]`, too: who
    the relay goes on as where it runs as root, the first user that this host has.
    """
    addresses = json.loads(sources["addresses"])
    if os.geteuid() == 0:
        _go_on_as(json.loads(sources.get("users", "[]")))
    troubles = []
    for address in addresses:
        try:
            line = connect(address)
            break
        except OSError as error:
            troubles.append("%s: %s" % (shown(address), error.strerror or error))
    else:
        _say({"error": "; ".join(troubles)})
        os._exit(0)
    _say({"to": shown(address)})
    there = threading.Thread(target=_pass_in, args=(line,))
    there.daemon = True
    there.start()
    _pass_out(line)
    os._exit(0)


def _go_on_as(users):
    """Become the first of the users that there is, for good: a service asks the kernel who connects."""
    for name in users:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.initgroups(name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        return


def connect(address):
    """Return a socket connected to a path or to [host, port]; raises OSError."""
    if isinstance(address, (list, tuple)):
        line = socket.create_connection((address[0], int(address[1])), _PATIENCE)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(_PATIENCE)
        try:
            line.connect(address)
        except OSError:
            line.close()
            raise
    line.settimeout(None)
    return line


def shown(address):
    """Return an address as people write it."""
    return "%s:%s" % tuple(address) if isinstance(address, (list, tuple)) else address


def _say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _pass_in(line):
    """Pass what the control machine sends; at its end the service is told, and has a moment to finish."""
    try:
        while True:
            data = os.read(0, _CHUNK)
            if not data:
                break
            line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        threading.Event().wait(_PATIENCE)
    except OSError:
        pass
    os._exit(0)


def _pass_out(line):
    try:
        while True:
            data = line.recv(_CHUNK)
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]
    except OSError:
        return
