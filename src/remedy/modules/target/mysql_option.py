"""Set an option of a MySQL or MariaDB server for its next start, in a drop-in of its own beside its option files.

The drop-in lies in the last folder that the server's option files include, and is called zz-remedy.cnf, so that it
is read after the others there; one of several instances (mariadb@NAME) has a drop-in for its own groups,
zz-remedy_NAME.cnf. What would be read after it, and the server's command line, are looked at first:
where they set the option otherwise, the task is refused and names the place. After the write the server's own
program is asked what it reads (--print-defaults); where that is another value, the drop-in is put back and the task
fails. Other servers of the host that would read the value from there, too, are named in a warning. The server that
runs is left as it is: see mysql_variables. Returns `path`, `value` (what the server would
read) and `proved` (the server's program said so).
"""

import os
import re

from remedy.agent.kinds import REQUIRED, Failed, Param, Resource
from remedy.agent.paths import native
from remedy.modules.target import _mysql_options

PARAMS = (
    Param("option", default=REQUIRED, help="The option, by the name of its variable."),
    Param("value", help="Its value; with state: absent, it is not looked at."),
    Param("state", default="present", choices=("present", "absent"), help="Whether the drop-in sets it."),
    Param("datadir", "path", help="The data folder of the server that is meant, where several run."),
)

EXAMPLES = """
- mysql_option: {option: max_connections, value: "300"}
- mysql_option: {option: max_connections, state: absent}
"""

_NAME = "zz-remedy%s.cnf"
_HEAD = "# Written by remedy; `remedy rollback` and mysql_option change it.\n[mysqld%s]\n"


def check_params(params):
    if not re.match(r"[A-Za-z][\w-]*$", str(params["option"])):
        return "option '%s': expected letters, digits, - and _" % params["option"]
    if params["state"] == "present" and params["value"] is None:
        return "state: present needs a value"
    if params["value"] is not None and re.search(r"[\r\n\"\\]", str(params["value"])):
        return "value must be one line without quotes and backslashes"
    return None


def kind(params):
    return Option


class Option(Resource):
    _known = None
    _path = None
    _suffix = ""  # of the groups of one of several instances

    @property
    def option(self):
        return _mysql_options.plain(self.params["option"])

    @property
    def path(self):
        if self._path is None:
            self._path = self._place()
        return self._path

    def key(self):
        return "mysql_option:%s:%s" % (self.path, self.option)

    def read(self):
        return {"value": self._own().get(self.option)}

    def wanted(self, have):
        if self.params["state"] == "absent":
            return {"value": None}
        if have["value"] != self.params["value"]:
            self._winner()
        return {"value": self.params["value"]}

    def write(self, have, want):
        before = self._own()
        after = {name: value for name, value in before.items() if name != self.option}
        if want["value"] is not None:
            after[self.option] = want["value"]
        self._save(after)
        if want["value"] is None:
            return
        asked, value = self._options().proof(self.option)
        if asked and not same(value, want["value"]):
            self._save(before)
            raise Failed(
                "the server would still read %s=%s, and not %s from %s: the drop-in was put back as it was"
                % (self.option, value, want["value"], self.path)
            )
        self._tell_others()

    def diff(self, have, want):
        before, after = (
            "" if each["value"] is None else "%s = %s\n" % (self.option, each["value"])
            for each in (have, want)
        )
        return {"before": before, "after": after, "before_header": self.path, "after_header": self.path}

    def returns(self, have, now):
        asked, value = (False, None) if self.host.check else self._options().proof(self.option)
        return {"path": self.path, "value": value if asked else now["value"], "proved": asked}

    def why(self, have):
        if have["value"] is None:
            return "%s does not set it" % self.path
        return "%s says %s" % (self.path, have["value"])

    def _options(self):
        pid = _mysql_options.process(self.params["datadir"])
        if pid is None and self.params["datadir"] and list(_mysql_options.servers()):
            # The usual files would be those of another server.
            raise Failed(
                "the server with its data in %s does not run, and another one does: which option files are its own "
                "is not seen; start it first" % self.params["datadir"]
            )
        return _mysql_options.Options(self.host, pid)

    def _place(self):
        if os.geteuid() != 0:
            raise Failed("the server's option files are for root; add become: true", cause="permission")
        options = self._options()
        options.entries()
        if not options.folders:
            raise Failed(
                "the server's option files include no folder, so there is no place for a drop-in: add the line "
                "'!includedir /etc/mysql/conf.d/' (a folder that is there) to the end of %s"
                % (next(iter(options._files()), "/etc/my.cnf"))
            )
        self._suffix = options.suffix
        if not re.match(r"[\w.-]*$", self._suffix):
            raise Failed("the suffix of its groups, '%s', is none for the name of a file" % self._suffix)
        # "_" is sorted after ".": the file of the usual groups is read before those of the instances.
        own = "_" + self._suffix.lstrip(".") if self._suffix else ""
        return os.path.join(options.folders[-1], _NAME % own)

    def _tell_others(self):
        """Warn of other servers of the host that read the value from the same drop-in."""
        meant = _mysql_options.process(self.params["datadir"])
        for pid in _mysql_options.servers():
            try:
                entries = _mysql_options.Options(self.host, pid).entries()
                last = _mysql_options.last(entries, self.option)
                if pid != meant and last is not None and last.place.rpartition(":")[0] == self.path:
                    self.host.warn(
                        "the server in %s reads %s from %s, too, at its next start: give it a value of its own "
                        "where that is not meant" % (os.readlink("/proc/%d/cwd" % pid), self.option, self.path)
                    )
            except (Failed, OSError):
                continue  # it reads no such files, or has ended

    def _winner(self):
        """Raise Failed where something read after the drop-in sets the option otherwise."""
        entries = self._options().entries(drop_in=self.path)
        here = [number for number, each in enumerate(entries) if each.place == self.path]
        for each in entries[here[-1] + 1 :] if here else ():
            if each.name == self.option and not same(each.value, self.params["value"]):
                raise Failed(
                    "%s sets %s=%s, which is read after %s and wins: change it there, nothing was written"
                    % (each.place, self.option, each.value, self.path)
                )

    def _own(self):
        """Return what the drop-in sets; raises Failed for one that is not ours."""
        try:
            with open(native(self.path), encoding="utf-8") as file:
                content = file.read()
        except FileNotFoundError:
            return {}
        if not content.startswith(_HEAD % self._suffix):
            raise Failed("%s is there and not remedy's: rename it" % self.path)
        found = {}
        for line in content.splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith(("#", "[")):
                found[_mysql_options.plain(name)] = _mysql_options.unquoted(value)
        return found

    def _save(self, values):
        if not values:
            if os.path.lexists(native(self.path)):
                os.unlink(native(self.path))
            return
        lines = ['%s = "%s"\n' % item if re.search(r"[#;\s]", item[1]) else "%s = %s\n" % item
                 for item in sorted(values.items())]  # fmt: skip
        content = (_HEAD % self._suffix + "".join(lines)).encode("utf-8")
        self.host.files.write(self.path, [content], mode="0644", owner=0, group=0)


def same(one, other):
    """Say whether two values mean the same to the server."""
    return one is not None and other is not None and _number(one) == _number(other)


def _number(value):
    words = {"true": "1", "on": "1", "yes": "1", "false": "0", "off": "0", "no": "0"}
    value = words.get(str(value).strip().lower(), str(value).strip())
    known = re.match(r"(-?\d+)([KMGT]?)$", value, re.IGNORECASE)
    if known:
        return int(known.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[known.group(2).upper()]
    try:
        return float(value)
    except ValueError:
        return value
