"""SQL as root, through the client program on the host and the server's socket."""

from remedy.agent.kinds import Failed


def ask(host, sql, socket=None):
    """Return the rows that statements answer, as lists of texts."""
    program = host.which("mariadb") or host.which("mysql")
    if program is None:
        raise Failed("this host has neither the program mariadb nor mysql")
    words = [program, "--batch", "--skip-column-names", "--connect-timeout=10", "--user=root"]
    words += ["--socket=" + socket] if socket else []
    done = host.run(words, input=sql.encode("utf-8"), c_locale=True, timeout=host.left() or 60)
    return [line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]


def wrong_name(params):
    """Return what is wrong with a name that becomes a part of names of schemas and accounts."""
    name = params["name"]
    if not name.replace("_", "").isalnum() or len(name) > 16 or any(ord(letter) > 127 for letter in name):
        return "name '%s': expected up to 16 letters, digits and _" % name
    return None
