"""SQL for faults of PostgreSQL: through the client program on the host, as the user postgres by its socket."""

import os

from remedy.agent.kinds import Failed

USER = "postgres"


def wrong_name(params):
    """Return what is wrong with the name, which becomes a part of names of roles."""
    name = params["name"]
    if not name.replace("_", "").isalnum() or len(name) > 40 or any(ord(letter) > 127 for letter in name):
        return "name '%s': expected up to 40 letters, digits and _" % name
    return None if name == name.lower() else "name '%s': expected small letters" % name


def psql(host):
    """Return the client program."""
    program = host.which("psql")
    if program is None:
        raise Failed("this host has no program psql")
    return program


def ask(host, sql, port=5432, database="postgres", ok=(0,)):
    """Return the rows that statements answer, as lists of texts."""
    words = [psql(host), "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-p", str(port), "-d", database]
    if os.geteuid() == 0:
        words = [host.which("runuser") or "runuser", "-u", USER, "--"] + words
    done = host.run(words, input=sql.encode("utf-8"), c_locale=True, ok=ok, timeout=host.left() or 60, cwd="/")
    return [line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]
