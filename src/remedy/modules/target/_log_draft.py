"""What a rule of logrotate is to say of some logs: who is told and how, who may write, how many there is room for."""

import os

from remedy.agent.kinds import Failed
from remedy.modules.target import _log_growth, _log_rules, _log_writers, _rotation


class Draft(object):
    """A rule for `logs`, those that there are by the patterns `paths`; `found` are the parts of the configuration.

    `told` is what a task returns of it: reopen, keep, rotation, allowed.
    """

    def __init__(self, host, params, paths, logs, found):
        self._host = host
        self._params = params
        self._paths = paths
        self._logs = logs
        self._every = logs or paths
        self._found = found
        self.told = {}

    def text(self, known):
        """Return the whole drop-in; `known` are the options of the one that stands, which stay where they still fit."""
        way, create = self._way(known), self._create(known)
        above = {}
        for part in self._found:
            above.update(_rotation.options(part) if isinstance(part, str) else {})
        copied = way.kind == "copytruncate"
        lines = [self._params["period"]]
        lines += self._retention(known, copied)
        lines += ["missingok", "notifempty"]
        if self._params["compress"]:
            lines += ["compress", "nodelaycompress" if copied else "delaycompress"]
        else:
            lines.append("nocompress")
        if above.get("dateext") is True:
            lines.append("dateformat -%Y%m%d%H%M%S")  # two rotations on one day must not want one name
        su = None if above.get("su") else _log_rules.su(self._every[0], *create.split()[1:])
        if su:
            _log_rules.fits(su, self._paths)
            lines.append("su " + su)
        if copied:
            lines.append("copytruncate")
        else:
            lines += ["nocopytruncate"] if above.get("copytruncate") else []
            lines.append("create " + create)
            lines += _log_rules.script(way.script) if way.script else []
        return _log_rules.text(self._paths, lines)

    def reopening(self, file):
        """Return the Way for those who write the logs, or what they were rotated to; `file` has a rule for them."""
        holders = []
        for found in (_log_writers.holders(self._host, self._logs), _log_writers.stale(self._host, self._every)):
            holders += [each for held in found.values() for each in held]
        if not holders:
            return self._chose(_log_writers.Way("each", "nobody has it open"))
        way = _log_writers.way(self._host, self._every[0], holders, self._params["signals"])
        if way.kind in ("own", "refused"):
            raise Failed("%s is not amended: %s" % (file, way.why))
        return self._chose(way)

    def _way(self, known):
        """Return the Way that fits all logs; where nobody writes them now, that of the rule as it stands."""
        if self._params["method"] == "rename":
            return self._chose(_log_writers.Way("each", "asked for"))
        held = _log_writers.holders(self._host, self._logs)
        ways = {}
        for path in self._logs:
            if held[path] or not known:
                way = _log_writers.way(self._host, path, held[path], self._params["signals"])
                ways.setdefault((way.kind, tuple(way.script)), (path, way))
        if self._params["method"] == "copytruncate":
            return self._chose(_log_writers.Way("copytruncate", "asked for"))
        for path, way in ways.values():
            if way.kind in ("own", "refused"):
                raise Failed("%s gets no rule: %s" % (path, way.why))
        if len(ways) > 1:
            told = "; ".join(
                "%s: %s" % (path, way.why) for path, way in sorted(ways.values(), key=lambda each: each[0])
            )
            raise Failed("these logs are not rotated in the same way, give each its rule: %s" % told)
        if ways:
            return self._chose(next(iter(ways.values()))[1])
        if known.get("copytruncate"):
            return self._chose(_log_writers.Way("copytruncate", "as the rule has it; nobody writes it now"))
        script = [line for line in str(known.get("postrotate") or "").split("\n") if line]
        return self._chose(_log_writers.Way("signal" if script else "each", "as the rule has it", script))

    def _chose(self, way):
        self.told = {"reopen": {"kind": way.kind, "why": way.why}}
        return way

    def _create(self, known):
        found = {_log_rules.created(path): path for path in self._logs}
        if len(found) > 1:
            raise Failed("these logs are not alike, give each its rule: %s" % "; ".join(
                "%s: %s" % (path, mode) for mode, path in sorted(found.items())))  # fmt: skip
        create = next(iter(found), None) or self._params["create"] or known.get("create")
        if not isinstance(create, str):
            raise Failed("there is no %s yet: give create, such as '0640 app app'" % ", ".join(self._paths))
        return create

    def _retention(self, known, copied):
        """Return maxsize and rotate; numbers that still fit stay, so that what is free may change without a change."""
        daily = self._params["growth"]
        if daily is None:
            grown = _log_growth.growth(self._host, self._logs, 0)
            daily = sum(grown[path] or 0 for path in grown) or sum(map(_log_rules.taken, self._logs))
        folder = os.path.dirname(self._every[0])
        if not os.path.isdir(folder):
            raise Failed("there is no folder %s" % folder)
        room = _log_rules.Room(self._every, self._params["share"], daily)
        most = self._params["max_size"] or _log_rules.bytes_of(known.get("maxsize")) or room.size()
        packs, delayed = self._params["compress"], not copied
        each = room.rotation(self._params["period"], most)
        if self._params["keep"] != "auto":
            count = int(self._params["keep"])
        else:
            had = str(known.get("rotate", ""))
            count = room.keep(each, packs, delayed, int(had) if had.isdigit() else 0)
        warning = _log_rules.too_small(room, each)
        if warning:
            self._host.warn(warning)
        self.told.update(keep=count, rotation=int(each), allowed=room.allowed)
        return ["maxsize " + _log_rules.size(most), "rotate %d" % count]
