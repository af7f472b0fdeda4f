"""What the control groups of a process allow it, from its own up: each limit on the way counts, the least one rules."""

import os

_ROOT = "/sys/fs/cgroup"


def memory(pid):
    """Return the limits of memory in bytes; of a process that is not known (None) those of the whole host."""
    return list(_limits(pid, "memory", "memory.max", "memory.limit_in_bytes"))


def tasks(pid):
    """Return the limits of processes and threads."""
    return list(_limits(pid, "pids", "pids.max", "pids.max"))


def _limits(pid, controller, name_2, name_1):
    for number, controllers, path in _groups(pid, controller):
        if controllers:
            if controller not in controllers.split(","):
                continue
            roots, name = [_ROOT + "/" + controller], name_1
        elif number == "0":
            roots, name = [_ROOT, _ROOT + "/unified"], name_2
        else:
            continue  # one that systemd has named for itself: it limits nothing
        while True:
            for root in roots:
                try:
                    with open(root + path.rstrip("/") + "/" + name) as file:
                        text = file.read().strip()
                except (OSError, IOError):
                    continue  # no controller there, or its folders are not shown
                if text.isdigit():
                    yield int(text)
            if path in ("", "/"):
                break
            path = os.path.dirname(path)


def _groups(pid, controller):
    """Return [(number, controllers, path)], as /proc/PID/cgroup has them."""
    if pid is None:
        return [("0", "", "/"), ("1", controller, "/")]
    try:
        with open("/proc/%s/cgroup" % pid, errors="surrogateescape") as file:
            return [line.rstrip("\n").split(":", 2) for line in file]
    except (OSError, IOError):
        return []  # it ended
