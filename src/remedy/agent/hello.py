"""The handshake: who this host is, as the control machine must know before the first step."""

import os
import pwd
import sys
import time


def describe():
    """Return the `hello` frame, without the lock."""
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return {
        "t": "hello",
        "python": "%d.%d.%d" % sys.version_info[:3],
        "machine_id": _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id"),
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "pid_ns": _link("/proc/self/ns/pid"),
        "clock": time.time(),
        "uid": uid,
        "user": user,
        "hostname": os.uname().nodename,
        "pid": os.getpid(),
    }


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""
