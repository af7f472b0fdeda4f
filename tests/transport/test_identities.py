"""Becoming another user on a real host: sudo and su, with and without a password, and their refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.errors import Unreachable
from remedy.transport import Identity, open_link, run_raw

from .test_link import START, answers, batch

PASSWORD = "correct horse"


class User:
    """A user of this machine for the length of a test session, and what sudoers says of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules = Path(f"/etc/sudoers.d/{name.replace('-', '_')}")
        subprocess.run(["useradd", "-m", "-s", "/bin/sh", name], check=True, capture_output=True)
        subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}", text=True, check=True)
        self.uid = int(subprocess.run(["id", "-u", name], capture_output=True, text=True, check=True).stdout)

    def may(self, *rules: str) -> None:
        """Replace what sudoers says of the user."""
        text = "".join(f"{rule}\n".replace("USER", self.name) for rule in rules)
        scratch = self._rules.with_name(f".{self._rules.name}")  # sudo skips names with a dot
        scratch.write_text(text)
        scratch.chmod(0o440)
        scratch.rename(self._rules)

    def trust(self, key: Path) -> None:
        """Let a key log in; it stands in the home, where sshd may read it as the user."""
        folder = Path(f"~{self.name}").expanduser() / ".ssh"
        folder.mkdir(exist_ok=True)
        (folder / "authorized_keys").write_text(Path(f"{key}.pub").read_text())

    def remove(self) -> None:
        self._rules.unlink(missing_ok=True)
        subprocess.run(["userdel", "-r", "-f", self.name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if shutil.which("sudo") is None:
        subprocess.run(["apt-get", "install", "-y", "sudo"], check=True, capture_output=True)
    user = User(f"rmdt-{os.getpid()}")
    yield user
    user.remove()


@pytest.fixture
def server(place, user):
    # pyenv's and other private pythons are not for a user who is not root
    user.trust(place.key)
    return place.sshd(
        "PasswordAuthentication yes",
        f"AuthorizedKeysFile .ssh/authorized_keys {place.folder}/sshd0/authorized_keys",
        "SetEnv PATH=/usr/bin:/bin:/usr/sbin:/sbin",
    )


@pytest.fixture
def connection(place, server, user, connector):
    connection = connector.connect(place.target(server, ansible_user=user.name))
    yield connection
    connection.close()


def uid(link) -> int:
    try:
        return link.receive(30)["uid"]
    finally:
        link.close()


def refusal(connection, identity) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        open_link(connection, start=START, identity=identity)
    assert caught.value.hint
    return caught.value


def test_a_password_logs_in_and_a_wrong_one_does_not(place, server, user, connector):
    options = "-o PubkeyAuthentication=no"
    target = place.target(server, ansible_user=user.name, ansible_password=PASSWORD, options=options)
    connection = connector.connect(target)
    assert run_raw(connection, "id -un").stdout.decode().strip() == user.name
    connection.close()
    with pytest.raises(Unreachable) as caught:
        connector.connect(
            place.target(server, ansible_user=user.name, ansible_password="wrong horse", options=options)
        )
    assert caught.value.reason == "authentication"
    assert "tried: password" in caught.value.message
    assert "wrong horse" not in str(caught.value)


def test_no_password_goes_to_a_host_with_a_changed_key(place, server, user, connector):
    from .conftest import generate

    other = Path(f"{generate(place.folder / 'other')}.pub").read_text().split()[1]
    place.known_hosts.write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 {other}\n")
    options = "-o PubkeyAuthentication=no -o StrictHostKeyChecking=no"
    with pytest.raises(Unreachable) as caught:
        connector.connect(
            place.target(server, ansible_user=user.name, ansible_password=PASSWORD, options=options)
        )
    assert "the password was not sent: the host key has changed" in caught.value.message


def test_without_a_password_the_agent_itself_runs_as_root(connection, user):
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    identity = Identity()
    link = open_link(connection, start=START, identity=identity, first=batch(user=identity.name, data="root"))
    assert link.receive(30)["uid"] == 0
    assert answers(link)["result"]["ping"] == "root"
    link.send({**identity.frame()})  # as the engine does; the agent is root already
    link.send(batch("b2", "command", user=identity.name, argv=["id", "-u"]))
    assert answers(link, "b2")["result"]["stdout"] == "0"
    link.send(batch("b3", "command", argv=["id", "-u"]))
    assert answers(link, "b3")["result"]["stdout"] == str(user.uid), (
        "a step without become is the login user's"
    )
    link.close()


def test_with_a_password_the_login_agent_starts_the_other(connection, user):
    user.may("USER ALL=(ALL) ALL")
    identity = Identity(password=PASSWORD)
    first = batch("b1", "command", user=identity.name, argv=["id", "-u"])
    link = open_link(connection, start=START, identity=identity, first=first)
    assert link.receive(30)["uid"] == user.uid
    assert answers(link)["result"]["stdout"] == "0"
    link.close()


def test_a_missing_password(connection, user):
    user.may("USER ALL=(ALL) ALL")
    error = refusal(connection, Identity())
    assert error.reason == "sudo_password"
    assert f"sudo wants a password for {user.name} at 127.0.0.1" in error.message
    assert "-K" in error.hint


def test_not_in_sudoers(connection, user):
    user.may()  # sudo asks for the password before it says so
    assert refusal(connection, Identity()).reason == "sudo_password"
    link = open_link(
        connection, start=START, identity=Identity(password=PASSWORD), first=batch(user="sudo:root")
    )
    assert link.receive(30)["t"] == "hello"
    failed = link.receive(30)
    assert (failed["t"], failed["reason"]) == ("identity_failed", "not_in_sudoers")
    link.close()
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    error = refusal(connection, Identity("no-such-user"))
    assert error.reason == "not_in_sudoers"
    assert "may not become no-such-user by sudo" in error.message


def test_requiretty_falls_back_to_the_login_agent_which_has_a_terminal(connection, user):
    user.may("Defaults:USER requiretty", "USER ALL=(ALL) NOPASSWD: ALL")
    identity = Identity()
    first = batch("b1", "command", user=identity.name, argv=["id", "-u"])
    link = open_link(connection, start=START, identity=identity, first=first)
    assert link.receive(30)["uid"] == user.uid
    assert answers(link)["result"]["stdout"] == "0"
    assert link.setup_trips == 4
    link.close()


def test_su_asks_anybody_but_root(connection, place, server, connector, user):
    error = refusal(connection, Identity(method="su"))
    assert error.reason == "sudo_password"
    assert "su wants a password" in error.message
    root = connector.connect(place.target(server))
    link = open_link(root, start=START, identity=Identity(user.name, "su"))
    assert uid(link) == user.uid
    root.close()


def test_a_method_that_is_not_installed(connection):
    error = refusal(connection, Identity(exe="/opt/sudo"))
    assert error.reason == "not_in_sudoers"
    assert "there is no /opt/sudo on 127.0.0.1" in error.message


# --- raw


def test_raw_gives_status_and_both_streams(connection):
    result = run_raw(connection, "printf 'a\\n'; printf 'b\\n' >&2; cat; exit 3")
    assert result == (3, b"a\n", b"b\n")


def test_raw_carries_much_on_both_streams(connection):
    result = run_raw(connection, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")
    assert (result.rc, len(result.stdout), len(result.stderr)) == (0, 3_000_000, 3_000_000)


def test_raw_ends_at_its_deadline_and_the_connection_lives_on(connection):
    with pytest.raises(TimeoutError) as caught:
        run_raw(connection, "exec sleep 60", timeout=0.3)
    assert "did not end within 0.3 s" in str(caught.value)
    assert run_raw(connection, "echo on").stdout == b"on\n"


def test_raw_as_another_user(connection, user):
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    assert (
        run_raw(connection, "id -u; echo 'it''s' \"$HOME\"", identity=Identity()).stdout == b"0\nits /root\n"
    )
    user.may("USER ALL=(ALL) ALL")
    given = Identity(password=PASSWORD)
    assert run_raw(connection, "id -u; cat", identity=given) == (0, b"0\n", b"")
    with pytest.raises(Unreachable) as caught:
        run_raw(connection, "id -u", identity=Identity())
    assert caught.value.reason == "sudo_password"
    with pytest.raises(Unreachable) as caught:
        run_raw(connection, "id -u", identity=Identity(password="wrong horse"))
    assert caught.value.reason == "sudo_password"
    assert "is wrong" in caught.value.message
    assert "wrong horse" not in str(caught.value)
    assert run_raw(connection, "exit 1", identity=given).rc == 1


def test_raw_on_this_machine(connector):
    from remedy.transport import Target

    here = connector.connect(Target.from_variables("here", {"ansible_connection": "local"}))
    assert run_raw(here, "echo a; echo b >&2; exit 4") == (4, b"a\n", b"b\n")
    with pytest.raises(TimeoutError):
        run_raw(here, "exec sleep 60", timeout=0.2)
