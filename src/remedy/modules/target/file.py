"""Make, change or remove files, folders and links: what they are, whom they belong to, what they permit.

Without `state` what is there gets the attributes; `touch` makes an empty file, or renews the times of what is
there. `absent` removes a folder with all that is in it, never across a mount point. Unlike Ansible's,
`recurse` does not go through links. Returns `path` or `dest`, `src`, `state`, `mode`, `owner`, `group`,
`uid`, `gid` and `size`.
"""

from remedy.agent.kinds import REQUIRED, Param
from remedy.modules.target import _absent, _inodes, _links
from remedy.modules.target._attributes import ATTRIBUTES

_TIME = "now, preserve, or a time in the format of %s_format"

PARAMS = (
    Param("path", "path", default=REQUIRED, aliases=("dest", "name"), help="which file, folder or link"),
    Param(
        "state",
        choices=("absent", "directory", "file", "hard", "link", "touch"),
        help="what shall be there; without it, what there is",
    ),
    Param("src", "path", help="what a link leads to, for state link and hard"),
    Param("force", "bool", default=False, help="make a link in place of a file, or to what does not exist"),
    Param("follow", "bool", default=True, help="work on what a link leads to, not on the link"),
    Param("recurse", "bool", default=False, help="give owner, group and mode to all that is in the folder"),
    Param("modification_time", help=_TIME % "modification_time"),
    Param("modification_time_format", default="%Y%m%d%H%M.%S", help="format of modification_time"),
    Param("access_time", help=_TIME % "access_time"),
    Param("access_time_format", default="%Y%m%d%H%M.%S", help="format of access_time"),
) + ATTRIBUTES

EXAMPLES = """
- file: {path: /srv/app, state: directory, owner: app, mode: "0750"}
- file: {path: /srv/current, src: /srv/releases/42, state: link}
- file: {path: /var/lib/app/stale.lock, state: absent}
"""


def kind(params):
    state = params["state"]
    if state is None:
        return _inodes.Directory if params["recurse"] else _inodes.Existing
    if state == "absent":
        return _absent.Absent
    if state in ("hard", "link"):
        return _links.Hard if state == "hard" else _links.Link
    return {"directory": _inodes.Directory, "file": _inodes.Plain, "touch": _inodes.Touched}[state]


def check_params(params):
    if params["recurse"] and params["state"] not in (None, "directory"):
        return "recurse needs state: directory"
    if params["state"] == "hard" and params["src"] is None:
        return "a hard link needs src, what it is another name of"
    if params["src"] is not None and params["state"] not in ("link", "hard"):
        return "src is what a link leads to: it needs state: link or state: hard"
    if params["mode"] == "preserve":
        return "mode cannot be preserve here: leave it out to keep what is there"
    return None
