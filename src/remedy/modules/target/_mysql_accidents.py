"""What happened to a database since a backup, by the binary logs: what may have been the accident, and the end."""

import os
import time

from remedy.agent.kinds import Failed
from remedy.modules.target import _mysql_replay, _mysql_tools

# One line for what may be the accident, for what names the database from elsewhere, and for the end.
_AWK = r"""
function told(kind, sql) {
  gsub(/\t/, " ", sql); print kind "\t" tx "\t" day "\t" clock "\t" base "\t" substr(sql, 1, 200)
}
function names(sql) { return index(sql, "`" NAME "`.") || index(" " sql, " " NAME ".") }
function judge(sql, where,   up) {
  up = toupper(sql)
  if (up ~ /^(DROP (TABLE|DATABASE|SCHEMA)|TRUNCATE)/ && up !~ /^DROP TEMPORARY/) {
    if (where == NAME || names(sql) || index(sql, "`" NAME "`") || index(sql " ", " " NAME " ")) told("accident", sql)
  } else if (up ~ /^(DELETE|UPDATE)/ && up !~ / WHERE /) {
    if (where == NAME || names(sql)) told("accident", sql)
  }
  if (where != NAME && names(sql) && up ~ (CHANGES "|^(DROP TABLE|CREATE TABLE|RENAME|TRUNCATE|ALTER)"))
    told("foreign", sql)
}
/^# at [0-9]+$/ { at = $3; next }
/^#[0-9][0-9][0-9][0-9][0-9][0-9] +[0-9]+:[0-9][0-9]:[0-9][0-9] server id/ {
  day = substr($1, 2); clock = $2
  if (match($0, /end_log_pos [0-9]+/)) end = substr($0, RSTART + 12, RLENGTH - 12)
  if ($0 ~ /GTID/) tx = at
  if ($0 ~ /Table_map: / && waiting != "") {
    rest = substr($0, index($0, "Table_map: ") + 11); gsub(/`/, "", rest); sub(/\..*/, "", rest)
    judge(waiting, rest); waiting = ""
  }
  if ($0 ~ /(Xid = |GTID .*ddl|Query)/) { last = end; lastday = day; lastclock = clock }
  next
}
/^use `/ { base = $0; sub(/^use `/, "", base); sub(/`.*/, "", base); next }
/^#Q> / { if (waiting == "") waiting = substr($0, 5); next }
/^[A-Za-z]/ && toupper($0) ~ (CHANGES "|^(DROP|CREATE|RENAME|TRUNCATE|ALTER) ") { judge($0, base) }
END { if (last != "") print "last\t" last "\t" lastday "\t" lastclock "\t\t" }"""
_CHANGES = "^(INSERT|UPDATE|DELETE|REPLACE|LOAD) "
_RUN = (
    'awk=$1; name=$2; changes=$3; shift 3; "$@" | LC_ALL=C awk -v NAME="$name" -v CHANGES="$changes" "$awk"'
)
_SHOWN = 20


def survey(client, database, position, until=None):
    """Return {accidents, foreign, last} of what the binary logs hold from a position on.

    Accidents and foreign statements are {position, time, database, statement}; `last` is the last transaction's
    {position, time}, None where there is none.
    """
    found = {"accidents": [], "foreign": [], "last": None}
    paths, stop = _mysql_replay.logs(client, position, until)
    program = client.program("mariadb-binlog", "mysqlbinlog")
    for place, path in enumerate(paths):
        words = [program, "--no-defaults", "--base64-output=DECODE-ROWS"]
        words += ["--start-position=%d" % position[1]] if not place else []
        words += stop if path == paths[-1] or "datetime" in "".join(stop) else []
        done = client.host.run(
            ["sh", "-c", _RUN, "sh", _AWK, database, _CHANGES] + words + [path],
            c_locale=True,
            ok=None,
        )
        if done.rc != 0 or b"ERROR" in done.stderr:
            raise Failed("the binary log %s cannot be read: %s" % (path, _mysql_tools.said(done)))
        for line in done.stdout.decode("utf-8", "replace").split("\n")[:-1]:
            kind, at, day, clock, where, sql = line.split("\t")
            about = {"position": "%s:%s" % (os.path.basename(path), at), "time": _epoch(day, clock)}
            if kind == "last":
                found["last"] = about
            elif len(found["accidents" if kind == "accident" else "foreign"]) < _SHOWN:
                about.update(database=where, statement=sql)
                found["accidents" if kind == "accident" else "foreign"].append(about)
    return found


def _epoch(day, clock):
    try:
        return time.mktime(time.strptime("%s %s" % (day, clock), "%y%m%d %H:%M:%S"))
    except ValueError:
        return None
