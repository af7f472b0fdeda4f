"""Going on from a dump with the binary logs: which files, up to where, into another database than they name.

What is replayed runs as an account that may write to the new database alone (_mysql_account): a statement that names
the damaged one by itself (UPDATE shop.orders ...) is refused by the server, whatever the binary log says.
"""

import calendar
import os
import re
import time

from remedy.agent.kinds import Failed
from remedy.modules.target import _mysql_tools

_UNTIL = re.compile(r"([^/\s:]+\.\d{6,}):(\d+)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")

# An old GTID would be refused where gtid_strict_mode is on: what is replayed is a new transaction of this server.
_WITHOUT_GTID = r"/^\/\*M*!100001 SET @@session\.gtid_seq_no=[0-9]*\*\/\/\*!\*\/;$/d"
_PIPE = """
rc=$( { { { "$@" 3>&-; echo $? >&3; } | sed "$SED" | eval "$INTO" >&2; echo $? >&3; } 3>&1; } ) || exit 1
for one in $rc; do [ "$one" = 0 ] || exit 1; done"""


def refuse_until(until):
    """Return what is wrong with a point in time."""
    if until and _UNTIL.fullmatch(until) is None and _moment(until) is None:
        return (
            "until '%s': expected a position such as binlog.000007:4711, or a time such as 2026-01-31 12:00:00"
            " (the host's zone) or 2026-01-31T12:00:00Z" % until
        )
    return None


def _moment(until):
    """Return a time as seconds since the epoch, None for what is none."""
    found = _TIME.fullmatch(until)
    if found is None:
        return None
    try:
        parts = time.strptime("%s %s" % found.group(1, 2), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    zone = found.group(3)
    if zone is None:
        return time.mktime(parts)
    seconds = calendar.timegm(parts)
    if zone != "Z":
        digits = zone[1:].replace(":", "")
        shift = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        seconds += -shift if zone[0] == "+" else shift
    return seconds


def logs(client, position, until=None):
    """Return (paths of the binary logs from a position on, options that stop the last one); raises Failed."""
    if client.about["binlogs"] is None:
        raise Failed("the server writes no binary logs (log_bin is off): nothing goes on from the backup")
    folder = os.path.dirname(os.path.join(client.about["datadir"], client.about["binlogs"]))
    names = [row[0] for row in client.rows("SHOW BINARY LOGS")]
    if position[0] not in names:
        raise Failed(
            "the binary log %s, where the backup ends, is not there any more (the oldest is %s): restore without until"
            % (position[0], names[0] if names else "none")
        )
    names = names[names.index(position[0]) :]
    stop = []
    place = _UNTIL.fullmatch(until) if until else None
    if place is not None:
        if place.group(1) not in names:
            raise Failed(
                "there is no binary log %s at or after %s, where the backup ends"
                % (place.group(1), position[0])
            )
        names = names[: names.index(place.group(1)) + 1]
        if len(names) == 1 and int(place.group(2)) < position[1]:
            raise Failed("%s is before the end of the backup, %s:%d" % (until, position[0], position[1]))
        stop = ["--stop-position=" + place.group(2)]
    elif until:
        moment = _moment(until)
        stop = ["--stop-datetime=" + time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))]
    return [os.path.join(folder, each) for each in names], stop


def replay(client, account, database, into, position, until):
    """Replay what the binary logs say of a database into another one; raises Failed."""
    paths, stop = logs(client, position, until)
    words = [client.program("mariadb-binlog", "mysqlbinlog"), "--no-defaults"]
    # MySQL filters by the new name, MariaDB by the old one.
    words.append("--database=" + (database if client.about["mariadb"] else into))
    words += ["--rewrite-db=%s->%s" % (database, into), "--start-position=%d" % position[1]]
    words += [] if client.about["mariadb"] else ["--skip-gtids"]
    into_words = " ".join("'%s'" % word.replace("'", "'\\''") for word in account.words)
    done = client.host.run(
        ["sh", "-c", _PIPE, "sh"] + words + stop + paths,
        c_locale=True,
        environment=dict(account.environment, SED=_WITHOUT_GTID, INTO=into_words),
        ok=None,
    )
    if done.rc != 0:
        hint = ""
        if "denied" in _mysql_tools.said(done):
            hint = (
                "; a statement names a database by itself, and a restore writes to its own alone: stop before it"
                " with until"
            )
        raise Failed("replaying the binary logs failed: %s%s" % (_mysql_tools.said(done), hint))
