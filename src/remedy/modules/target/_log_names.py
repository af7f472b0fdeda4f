"""How logs and what was rotated from them are called."""

import os
import re

# app.log-20240131.gz, app-2024-01-31.log, syslog.1, syslog.2.gz, app.log.gz, app.log.old. Not binlog.000017,
# and not worker-3.log: that is the third worker's, not the third of a row.
_DATE = r"(?:19|20)\d\d-?\d\d-?\d\d(?:[-_.T]?\d{2,6})?|1\d{9}"
_PACKED = r"(?:\.(?:gz|xz|bz2|zst|lz4|lzma|Z))"
# What stood in logrotate's way, such as a copy that was cut off: app.log.1-2024013117.backup.
_ASIDE = r"(?:-(?:19|20)\d{8}\.backup%s?)?" % _PACKED
ROTATED = re.compile(
    r"(?P<log>.+?)(?:[.-](?:%s)(?:\.log)?%s?|\.\d{1,3}%s?|\.log%s|\.log[.-]old%s?)%s"
    % (_DATE, _PACKED, _PACKED, _PACKED, _PACKED, _ASIDE)
)
_SUFFIX = re.compile(r".+" + _PACKED + "|.+[.](zip|tar|tgz)")
SHRINKS = 4
"""A log that shrinks to less than a quarter when it is packed is an ordinary one."""
_LOGINS = frozenset("wtmp btmp utmp lastlog faillog tallylog".split())


def record(path):
    """Return of what a log, or one that was rotated, is the record: "logins" or "audit"; None: an ordinary log.

    Records of logins are no lines of text, and both have rules or programs of their own.
    """
    if os.path.basename(log_of(path) or path) in _LOGINS:
        return "logins"
    return "audit" if path.startswith("/var/log/audit/") else None


def packed(path):
    """Say whether a file is compressed, by its name."""
    return _SUFFIX.fullmatch(os.path.basename(path)) is not None


def log_of(path):
    """Return the log that a file was rotated from, None where it is none that was rotated."""
    folder, name = os.path.split(path)
    match = ROTATED.fullmatch(name)
    if match is None:
        return None
    # app-20240131.log was app.log; app.log-20240131 was app.log, too.
    log = match.group("log")
    if re.search(r"\.log" + _PACKED + "?$", name) and not log.endswith(".log"):
        log += ".log"
    return os.path.join(folder, log)
