"""The work of play.yml with nothing around it: sent whole to the host by bare.py, run there from memory."""

import base64
import fnmatch
import hashlib
import os
import re
import stat
import subprocess


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{argv}: exit status {done.returncode}")
    return {"changed": False, "stdout": done.stdout.decode()}


def mode_of(path):
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except FileNotFoundError:
        return None


def folder(path, mode):
    have = mode_of(path)
    if have is None:
        os.mkdir(path)
    if have != mode:
        os.chmod(path, mode)
    return {"changed": have != mode}


def read(path):
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def put(path, content, mode):
    changed = read(path) != content or mode_of(path) != mode
    if changed:
        with open(path + ".new", "wb") as handle:
            handle.write(content)
        os.chmod(path + ".new", mode)
        os.replace(path + ".new", path)
    return {"changed": changed}


def line(path, wanted, pattern=None):
    lines = (read(path) or b"").decode().splitlines()
    hits = [i for i, have in enumerate(lines) if (re.search(pattern, have) if pattern else have == wanted)]
    if hits:
        lines[hits[-1]] = wanted
    else:
        lines.append(wanted)
    return put(path, ("\n".join(lines) + "\n").encode(), 0o644)


def link(path, target):
    changed = not os.path.islink(path) or os.readlink(path) != target
    if changed:
        os.symlink(target, path + ".new")
        os.replace(path + ".new", path)
    return {"changed": changed}


def once(path, command):
    return {"changed": False} if os.path.exists(path) else dict(run("/bin/sh", "-c", command), changed=True)


def look(path):
    have = os.lstat(path)
    fields = {name: getattr(have, name) for name in dir(have) if name.startswith("st_")}
    if stat.S_ISREG(have.st_mode):
        fields["checksum"] = hashlib.sha1(read(path)).hexdigest()
    return dict(fields, changed=False)


def find(top, pattern="*", folders=False, deep=False):
    found = []
    for where, dirs, names in os.walk(top):
        found += [look(os.path.join(where, n)) for n in fnmatch.filter(dirs if folders else names, pattern)]
        if not deep:
            break
    return {"changed": False, "files": found}


def work(name, root, limits):
    conf, sysctl = root + "/conf", root + "/sysctl.conf"
    config = f"# {name}\n[service]\nname = orders\nlisten = 0.0.0.0:8080\nlog = {root}/log/orders.log\n"
    workers = "orders-web listen=8081\norders-jobs listen=8082\norders-mail listen=8083\n"
    return [
        folder(root, 0o755),
        folder(conf, 0o755),
        folder(root + "/log", 0o750),
        run("uname", "-r"),
        look(conf),
        put(conf + "/motd", b"orders lives here\n", 0o644),
        put(conf + "/limits.conf", limits, 0o640),
        put(conf + "/service.conf", config.encode(), 0o644),
        put(conf + "/workers", workers.encode(), 0o644),
        line(sysctl, "vm.swappiness = 10", r"^vm\.swappiness"),
        line(sysctl, "fs.file-max = 200000"),
        line(sysctl, "net.core.somaxconn = 1024", r"^net\.core\.somaxconn"),
        link(root + "/current", "conf"),
        once(root + "/initialised", f"echo ready > {root}/initialised"),
        run("/bin/sh", "-c", f"cat {conf}/*.conf | wc -l"),
        run("ls", root),
        find(conf, "*.conf"),
        find(root, folders=True, deep=True),
        {"changed": False, "content": base64.b64encode(read(conf + "/motd")).decode()},
        look(conf + "/service.conf"),
    ]
