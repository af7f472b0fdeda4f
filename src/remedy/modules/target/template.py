"""Render a template on the control machine and copy the result to the host.

The options of rendering are Ansible's. Content that is already there does not travel. Returns what `copy`
returns.
"""

import os
import stat

from remedy.agent.kinds import REQUIRED, Param
from remedy.modules.target._attributes import ATTRIBUTES
from remedy.modules.target._content import BACKUP, VALIDATE
from remedy.modules.target._sent import INTERNAL as _SENT
from remedy.modules.target._sent import Sent, sent

_RENDERING = (
    Param(
        "newline_sequence",
        default="\n",
        choices=("\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n"),
        help="what ends a line",
    ),
    Param("block_start_string", default="{%", help="what begins a block"),
    Param("block_end_string", default="%}", help="what ends a block"),
    Param("variable_start_string", default="{{", help="what begins a value"),
    Param("variable_end_string", default="}}", help="what ends a value"),
    Param("comment_start_string", help="what begins a comment, {# by default"),
    Param("comment_end_string", help="what ends a comment, #} by default"),
    Param("trim_blocks", "bool", default=True, help="drop the line break after a block"),
    Param("lstrip_blocks", "bool", default=False, help="drop the blanks before a block"),
    Param("output_encoding", default="utf-8", help="encoding of the file that is written"),
)

PARAMS = (
    (
        Param("src", "path", default=REQUIRED, help="the template, on the control machine"),
        Param("dest", "path", default=REQUIRED, help="where to; with a slash at the end, a folder"),
        Param("force", "bool", default=True, help="replace a file that is there and differs"),
        Param("follow", "bool", default=False, help="write through a link at dest instead of replacing it"),
    )
    + _RENDERING
    + (BACKUP, VALIDATE)
    + ATTRIBUTES
)

INTERNAL = _SENT

EXAMPLES = """
- template: {src: my.cnf.j2, dest: /etc/mysql/conf.d/remedy.cnf, mode: "0644", backup: true}
"""


def kind(params):
    return Sent


def prepare(params, source):
    options = {param.name: params[param.name] for param in _RENDERING}
    written = {"\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}
    options["newline_sequence"] = written.get(options["newline_sequence"], options["newline_sequence"])
    rendered = source.render(params["src"], **options)
    if params["mode"] == "preserve":
        params = dict(params, mode="%04o" % stat.S_IMODE(os.stat(rendered["path"]).st_mode))
    return sent(params, rendered, os.path.basename(params["src"]))
