"""The work of play.yml, as pyinfra is meant to be used; run by pyinfra, never imported."""

from io import StringIO
from pathlib import Path

from pyinfra import host
from pyinfra.operations import files, server

HERE = Path(__file__).parent
root = host.data.root
names = {
    "inventory_hostname": host.name,
    "root": root,
    "service": "orders",
    "listen": 8080,
    "workers": ["web", "jobs", "mail"],
}


def put(source, name, mode):
    # The folder is there by then; asking for it once more would charge pyinfra for work nobody else does.
    files.put(src=source, dest=f"{root}/conf/{name}", mode=mode, create_remote_dir=False)


def render(source, name):
    # Rendered as Ansible renders it: a block tag takes its line end with it.
    files.template(
        src=str(HERE / "templates" / source),
        dest=f"{root}/conf/{name}",
        mode="644",
        create_remote_dir=False,
        jinja_env_kwargs={"trim_blocks": True},
        **names,
    )


files.directory(path=root, mode="755")
files.directory(path=f"{root}/conf", mode="755")
files.directory(path=f"{root}/log", mode="750")
server.shell(commands="uname -r")
server.shell(commands=f"stat {root}/conf")
put(StringIO("orders lives here\n"), "motd", "644")
put(str(HERE / "files/limits.conf"), "limits.conf", "640")
render("service.conf.j2", "service.conf")
render("workers.j2", "workers")
files.line(path=f"{root}/sysctl.conf", line=r"^vm\.swappiness.*$", replace="vm.swappiness = 10")
files.line(path=f"{root}/sysctl.conf", line="^fs.file-max = 200000$")
files.line(path=f"{root}/sysctl.conf", line=r"^net\.core\.somaxconn.*$", replace="net.core.somaxconn = 1024")
files.link(path=f"{root}/current", target="conf", create_remote_dir=False)
server.shell(commands=f"test -e {root}/initialised || echo ready > {root}/initialised")
server.shell(commands=f"cat {root}/conf/*.conf | wc -l")
server.shell(commands=f"ls {root}")
server.shell(commands=f"find {root}/conf -maxdepth 1 -type f -name '*.conf' -ls")
server.shell(commands=f"find {root} -mindepth 1 -type d -ls")
server.shell(commands=f"base64 {root}/conf/motd")
server.shell(commands=f"stat {root}/conf/service.conf && sha1sum {root}/conf/service.conf")
