"""Copy a file or folder to the host, or from one place on it to another.

A folder travels as one step for each thing in it; with a slash at the end of `src` its content goes to
`dest`, without one the folder itself does. `dest` with a slash at its end is a folder, made when missing.
Content that is already there does not travel. Returns `dest`, `src`, `checksum` (SHA-1), `md5sum`, `mode`,
`owner`, `group`, `uid`, `gid`, `size`, `state` and `backup_file`.
"""

import json
import os

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target import _hostcopy, _inodes, _links
from remedy.modules.target._attributes import ATTRIBUTES
from remedy.modules.target._content import BACKUP, VALIDATE
from remedy.modules.target._sent import INTERNAL as _SENT
from remedy.modules.target._sent import Sent, sent

PARAMS = (
    Param("src", "path", help="what to copy: a path on the control machine, on the host with remote_src"),
    Param("content", "raw", help="the content itself, instead of src; not text becomes JSON"),
    Param("dest", "path", default=REQUIRED, help="where to; with a slash at the end, a folder"),
    Param("remote_src", "bool", default=False, help="src is on the host"),
    Param("force", "bool", default=True, help="replace a file that is there and differs"),
    Param("follow", "bool", default=False, help="write through a link at dest instead of replacing it"),
    Param("local_follow", "bool", default=True, help="copy what links within src lead to, not the links"),
    Param("directory_mode", "mode", help="mode of folders that are made"),
    Param("checksum", help="SHA-1 that the content must have"),
    Param("decrypt", "bool", default=True, help="decrypt src if it is a vault file"),
    BACKUP,
    VALIDATE,
) + ATTRIBUTES

INTERNAL = _SENT + ("entry", "path")

EXAMPLES = """
- copy: {src: nginx.conf, dest: /etc/nginx/nginx.conf, mode: "0644", validate: "nginx -t -c %s", backup: true}
- copy: {content: "vm.swappiness = 10\\n", dest: /etc/sysctl.d/60-swap.conf}
- copy: {src: site/, dest: /srv/site/, owner: www-data}
"""

_DEEP = 40  # folders reached through links, so that a circle ends


def kind(params):
    if params.get("entry") == "directory":
        return _inodes.Directory
    if params.get("entry") == "link":
        return _links.Link
    return _hostcopy.HostCopy if params["remote_src"] else Sent


def check_params(params):
    if params["src"] is None and params["content"] is None:
        return "give src or content"
    if params["src"] is not None and params["content"] is not None:
        return "give src or content, not both"
    if params["content"] is not None and str(params["dest"]).endswith("/"):
        return "content needs the name of a file as dest, not a folder"
    return None


def prepare(params, source):
    if params["content"] is not None:
        return sent(params, source.text(_as_text(params["content"])))
    if params["remote_src"]:
        return params
    found = source.file(params["src"], decrypt=params["decrypt"])
    if not found.get("directory"):
        return sent(params, found, os.path.basename(params["src"]))
    root = params["dest"].rstrip("/") or "/"
    if not params["src"].endswith("/"):
        root = os.path.join(root, os.path.basename(params["src"]))
    steps = [_folder(params, root, {})]
    _walk(params, source, params["src"].rstrip("/"), root, steps, 0)
    return steps


def _walk(params, source, src, dest, steps, depth):
    if depth > _DEEP:
        raise Failed("%s: links within it lead in a circle; use local_follow: false" % src)
    for name, kind_of, info in source.tree(src, decrypt=params["decrypt"]):
        here = os.path.join(src, name)
        there = os.path.join(dest, name)
        if kind_of == "directory":
            steps.append(_folder(params, there, info))
        elif kind_of == "link" and not params["local_follow"]:
            link = dict(
                params, entry="link", path=there, src=info["target"], force=True, follow=False, mode=None
            )
            steps.append(link)
        elif kind_of == "link":
            found = source.file(here, decrypt=params["decrypt"])
            if found.get("directory"):
                steps.append(_folder(params, there, {}))
                _walk(params, source, here, there, steps, depth + 1)
            else:
                steps.append(sent(dict(params, dest=there), found))
        else:
            steps.append(sent(dict(params, dest=there), info))


def _folder(params, path, info):
    mode = params["directory_mode"]
    if mode == "preserve" or (mode is None and params["mode"] == "preserve"):
        mode = info.get("mode")
    return dict(params, entry="directory", path=path, mode=mode, follow=True)


def _as_text(content):
    if isinstance(content, str):
        return content
    return str(content) if isinstance(content, bool) else json.dumps(content)
