"""What ssh_config says for one name: asked of `ssh -G`, or of Paramiko where there is no ssh program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from remedy.errors import InputError, Unreachable
from remedy.home import expanded
from remedy.transport.tokens import local_user

_PATIENCE = 15  # seconds: `Match exec` may run programs

_LISTS = ("identityfile", "certificatefile")
_READ_BY_PARAMIKO = """
    host match hostname port user proxyjump proxycommand identityfile identitiesonly identityagent certificatefile
    userknownhostsfile globalknownhostsfile stricthostkeychecking hostkeyalias hashknownhosts connecttimeout
    addressfamily bindaddress ciphers kexalgorithms macs hostkeyalgorithms pubkeyacceptedalgorithms
    pubkeyauthentication passwordauthentication kbdinteractiveauthentication revokedhostkeys knownhostscommand
    pkcs11provider proxyusefdpass
    """
_WITHOUT_MEANING_HERE = """
    controlmaster controlpath controlpersist serveraliveinterval serveralivecountmax tcpkeepalive compression
    forwardagent forwardx11 forwardx11trusted sendenv setenv loglevel requesttty addkeystoagent visualhostkey
    batchmode updatehostkeys localforward remoteforward dynamicforward gssapiauthentication usekeychain
    gssapidelegatecredentials ignoreunknown checkhostip numberofpasswordprompts escapechar
    """


class Settings:
    """The directives for one name, in lower case; `notes` name what was not read."""

    def __init__(self, values: dict[str, list[str]], notes: tuple[str, ...] = ()) -> None:
        self._values = values
        self.notes = notes

    def one(self, directive: str, default: str = "") -> str:
        """Return the value that counts, `default` where it is unset or none."""
        value = self._values.get(directive, [default])[0]
        return default if value.lower() == "none" else value

    def given(self, directive: str) -> bool:
        """Return whether the directive is there at all, be it as none."""
        return directive in self._values

    def all(self, directive: str) -> list[str]:
        """Return every value of a directive that may be given more than once."""
        return [value for value in self._values.get(directive, []) if value.lower() != "none"]

    def flag(self, directive: str, default: bool = False) -> bool:
        """Return yes or no."""
        return self.one(directive, "yes" if default else "no").lower() in ("yes", "true")

    def words(self, directive: str) -> list[str] | None:
        """Return a comma separated list, None where unset."""
        value = self.one(directive)
        return value.split(",") if value else None


def read_settings(host: str, name: str, arguments: Sequence[str]) -> Settings:
    """Return what holds for `name` with these ssh arguments; `host` is for messages.

    Raises Unreachable(configuration) where ssh refuses its configuration.
    """
    program = shutil.which("ssh")
    return _ask_ssh(host, program, name, arguments) if program else _ask_paramiko(host, name, arguments)


def _ask_ssh(host: str, program: str, name: str, arguments: Sequence[str]) -> Settings:
    try:
        asked = subprocess.run(
            [program, "-T", "-G", *arguments, "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            "configuration",
            f"'ssh -G {name}' did not end within {_PATIENCE} s",
            hint="look for a 'Match exec' in the SSH configuration whose program hangs",
            host=host,
        ) from None
    except OSError as error:
        raise Unreachable(
            "configuration", f"'{program}' cannot be run: {error.strerror}", host=host
        ) from None
    if asked.returncode != 0:
        said = asked.stderr.decode(errors="replace").strip() or f"exit status {asked.returncode}"
        raise Unreachable(
            "configuration",
            f"ssh refuses its configuration for '{name}': {said}",
            hint="exclude the jump server from the pattern that sets ProxyJump: Host * !bastion"
            if "loop" in said
            else f"try: ssh -G {name}; correct ~/.ssh/config, or ansible_ssh_common_args in the inventory",
            host=host,
        )
    return Settings(printed(asked.stdout))


def printed(output: bytes) -> dict[str, list[str]]:
    """Return the directives that `ssh -G` has printed."""
    values: dict[str, list[str]] = {}
    for line in output.decode(errors="surrogateescape").splitlines():
        directive, _, value = line.partition(" ")
        values.setdefault(directive.lower(), []).append(value)
    return values


def _ask_paramiko(host: str, name: str, arguments: Sequence[str]) -> Settings:
    import paramiko

    given, files = _as_directives(arguments)
    notes: list[str] = []
    merged = {key: list(found) for key, found in given.items()}
    for file in files:
        try:
            text = expanded(file).read_text(errors="surrogateescape")
        except (OSError, InputError):
            continue
        lines = text.splitlines()
        unread = {
            number
            for number, line in enumerate(lines, 1)
            if directive_of(line)[0] not in _READ_BY_PARAMIKO.split()
        }
        notes += _notes(file, lines, unread)
        kept = "\n".join(line for number, line in enumerate(lines, 1) if number not in unread)
        try:
            found = paramiko.SSHConfig.from_text(kept).lookup(name)
        except Exception as error:  # it raises many kinds for lines it does not understand
            raise Unreachable(
                "configuration",
                f"{file} cannot be read without the ssh program: {error}",
                hint="install OpenSSH's client, or correct the file",
                host=host,
            ) from None
        for key, value in found.items():
            values = value if isinstance(value, list) else [str(value)]
            if key in _LISTS:
                merged.setdefault(key, []).extend(values)
            elif not (key == "hostname" and values == [name]):
                merged.setdefault(key, values)
    return Settings(_with_defaults(name, merged), tuple(notes))


def _as_directives(arguments: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return directives and configuration files of ssh arguments; of a directive the first one counts."""
    short = {"-p": "port", "-l": "user", "-J": "proxyjump", "-i": "identityfile", "-b": "bindaddress"}
    given: dict[str, list[str]] = {}
    files = ["~/.ssh/config", "/etc/ssh/ssh_config"]
    waiting = iter(arguments)
    for option in waiting:
        if option in ("-4", "-6"):
            given.setdefault("addressfamily", ["inet" if option == "-4" else "inet6"])
            continue
        value = next(waiting, "")
        if option == "-F":
            files = [value]
            continue
        if option == "-o":
            key, value = directive_of(value)
        else:
            key = short.get(option, option)
        if key in _LISTS:
            given.setdefault(key, []).append(value)
        else:
            given.setdefault(key, [value])
    return given, files


def directive_of(line: str) -> tuple[str, str]:
    """Return the directive of a line, in lower case, and its value."""
    text = line.strip()
    end = next((at for at, letter in enumerate(text) if letter in " \t="), len(text))
    return text[:end].lower(), text[end:].strip().removeprefix("=").strip().strip('"')


def _notes(file: str, lines: Sequence[str], unread: Iterable[int]) -> Iterator[str]:
    for number in sorted(unread):
        directive, _ = directive_of(lines[number - 1])
        if directive and not directive.startswith("#") and directive not in _WITHOUT_MEANING_HERE.split():
            word = lines[number - 1].split()[0]
            yield f"{file}:{number}: {word} was not read: there is no ssh program here"


def _with_defaults(name: str, values: dict[str, list[str]]) -> dict[str, list[str]]:
    defaults = {
        "hostname": [name],
        "port": ["22"],
        "user": [local_user()],
        "identityfile": [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ed25519")],
        "userknownhostsfile": ["~/.ssh/known_hosts ~/.ssh/known_hosts2"],
        "globalknownhostsfile": ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"],
    }
    return {**defaults, **values}
