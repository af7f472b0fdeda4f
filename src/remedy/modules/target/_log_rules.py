"""The text of a logrotate rule: who may write, how often, how many are kept in the room that there is."""

import glob
import os
import re
import stat

from remedy.agent.files import group_name, user_name
from remedy.agent.kinds import Failed
from remedy.modules.target import _holders, _log_names

HEAD = "# Written by remedy; logrotate_rule and `remedy rollback` change it.\n"
PERIODS = {"hourly": 1 / 24.0, "daily": 1.0, "weekly": 7.0, "monthly": 30.0}

_MOST = 30
_SLACK = 1.25  # by so much a rule as it stands may miss what there is room for
_LEAST_SIZE, _MOST_SIZE = 1 << 20, 100 << 20


class Room(object):
    """What rotated logs may take, and what a rotation brings: bytes."""

    def __init__(self, paths, share, daily):
        folder = os.path.dirname(paths[0])
        sizes = os.statvfs(folder)
        self.share = share
        self.total = sizes.f_blocks * sizes.f_frsize
        self.free = sizes.f_bavail * sizes.f_frsize
        self.current = sum(taken(path) for path in paths)
        self.rotated = sum(taken(each) for path in paths for each in glob.glob(glob.escape(path) + "[.-]*"))
        self.daily = daily
        # Never more than half of what is there for it: others need room, too.
        self.allowed = int(min(self.total * share / 100.0, (self.free + self.rotated + self.current) / 2.0))

    def size(self):
        """Return at which size a log is rotated before its time; it does not change with what is free."""
        return int(max(_LEAST_SIZE, min(_MOST_SIZE, self.total * self.share / 400.0))) >> 20 << 20

    def rotation(self, period, most):
        """Return what one rotation brings: logrotate looks once a day, so less than a day's lines it is not."""
        days = PERIODS[period]
        return self.daily * days if days <= 1 else max(self.daily, min(self.daily * days, most))

    def need(self, count, each, packs, delayed):
        """Return what a log and so many rotated ones take at most."""
        whole = 1 + (1 if delayed else 0) if packs else 1 + count
        return each * whole + (max(0, count - (1 if delayed else 0)) * each / _log_names.SHRINKS if packs else 0)

    def keep(self, each, packs, delayed, had=0):
        """Return how many rotated logs there is room for, at least one; `had` where that fits about as well."""
        count = _MOST
        while count > 1 and self.need(count, each, packs, delayed) > self.allowed:
            count -= 1
        if had and count < 2 * had and self.need(had, each, packs, delayed) <= self.allowed * _SLACK:
            return had
        return count


def taken(path):
    """Return what a file takes of the disk."""
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0


def created(path):
    """Return what `create` must say so that the new log is like the old one: "0640 www-data adm"."""
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise Failed("%s is no regular file" % path)
    return "%04o %s %s" % (stat.S_IMODE(about.st_mode), user_name(about.st_uid), group_name(about.st_gid))


def su(path, owner, group):
    """Return "USER GROUP" where logrotate needs `su` for a log's folder, None where root may do it; raises Failed.

    Who may write a folder can put a link where root writes. logrotate refuses one that others than root may write, and
    not one that belongs to somebody.
    """
    folder = os.path.dirname(path)
    about = os.stat(folder)
    mode = stat.S_IMODE(about.st_mode)
    if not mode & stat.S_IWOTH and not (mode & stat.S_IWGRP and about.st_gid != 0):
        return "%s %s" % (owner, group) if owner != "root" and user_name(about.st_uid) == owner else None
    if owner != "root":
        if user_name(about.st_uid) == owner or mode & stat.S_IWOTH or group_name(about.st_gid) == group:
            return "%s %s" % (owner, group)
        return "%s %s" % (owner, group_name(about.st_gid))
    if mode & stat.S_IWOTH:
        raise Failed(
            "%s can be written by everybody, and the log is root's: chmod o-w %s first" % (folder, folder)
        )
    return "root %s" % group_name(about.st_gid)


def fits(su, patterns):
    """Refuse `su` ("USER GROUP") for a rule with a folder, or a log, that this user may not rotate; raises Failed.

    `su` holds for all that a rule is for, and logrotate's dry run does not try what it may do.
    """
    user, group = su.split()
    if user == "root":
        return
    for pattern in patterns:
        for folder in glob.glob(os.path.dirname(pattern)):
            if not _writable(os.stat(folder), user, group):
                raise Failed("the rule is for %s too, where %s may not write: give the logs of each folder a rule of "
                             "their own, with su" % (folder, user))  # fmt: skip
        for path in glob.glob(pattern):
            owner = user_name(os.stat(path).st_uid)
            if owner != user:
                raise Failed("the rule is for %s too, which is %s's: give the logs of each owner a rule of their own, "
                             "with su" % (path, owner))  # fmt: skip


def _writable(about, user, group):
    if user_name(about.st_uid) == user:
        return bool(about.st_mode & stat.S_IWUSR)
    if group_name(about.st_gid) == group:
        return bool(about.st_mode & stat.S_IWGRP)
    return bool(about.st_mode & stat.S_IWOTH)


def unfit(path):
    """Say whether a path or pattern has what cannot stand in a rule."""
    return re.search(r"[\"\\{}\n\r]|\*\*", path) is not None


def quoted(path):
    """Return a path or pattern as it stands in a rule."""
    return '"%s"' % path


def text(paths, lines):
    """Return a whole drop-in."""
    return HEAD + "\n".join(map(quoted, paths)) + "\n{\n" + "".join("\t%s\n" % line for line in lines) + "}\n"


def script(lines):
    """Return the directives that let a service open its logs anew after their rotation."""
    return ["sharedscripts", "postrotate"] + ["\t" + line for line in lines] + ["endscript"]


def size(number):
    """Return a size as logrotate writes it."""
    return "%dM" % (number >> 20) if number >= 1 << 20 and not number % (1 << 20) else "%d" % number


def bytes_of(words):
    """Return the bytes that logrotate's word for a size means, 0 where it is none."""
    words = str(words or "")
    unit = {"k": 10, "M": 20, "G": 30}.get(words[-1:], 0)
    number = words[:-1] if unit else words
    return int(number) << unit if number.isdigit() else 0


def too_small(room, each):
    """Return a warning where not even two rotations have room, else None."""
    if each * 2 <= room.allowed:
        return None
    return (
        "a rotation brings about %s, and rotated logs may take %s: let logrotate run more often, or grow the disk"
        % (
            _holders.shown(each),
            _holders.shown(room.allowed),
        )
    )


def slug(path):
    """Return a name for a rule: /srv/shop/logs/*.log is srv-shop-logs."""
    words = re.sub(r"^/var/log/", "/", path)
    words = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"\.log$", "", words)).strip("-")
    return words[:60].strip("-") or "logs"
