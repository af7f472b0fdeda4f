"""Connecting to real servers: keys, host keys, jumps, programs, and every way in which it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from remedy.errors import Interrupted, Unreachable
from remedy.transport import Connector, run_raw
from remedy.transport.login import Login

from .conftest import Listener, Relay, free_port, generate


def says(connector, target, command="echo hello"):
    connection = connector.connect(target)
    try:
        return run_raw(connection, command, timeout=20).stdout.decode().strip()
    finally:
        connection.close()


def refused(connector, target) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        connector.connect(target)
    assert caught.value.host == target.name
    assert caught.value.hint
    return caught.value


def test_a_key_of_the_configuration_logs_in(place, connector):
    assert says(connector, place.target(place.sshd())) == "hello"


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_types_of_keys(place, connector, kind):
    server = place.sshd()
    key = generate(place.folder / "other", kind)
    server.authorized.write_text(Path(f"{key}.pub").read_text())
    target = place.target(server, ansible_ssh_private_key_file=str(key), options="-o IdentitiesOnly=yes")
    assert says(connector, target) == "hello"


def test_a_key_in_the_old_format(place, connector):
    server = place.sshd()
    key = place.folder / "old"
    subprocess.run(["ssh-keygen", "-q", "-m", "PEM", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    server.authorized.write_text(Path(f"{key}.pub").read_text())
    assert says(connector, place.target(server, ansible_ssh_private_key_file=str(key))) == "hello"


def test_many_hosts_share_one_sshd_that_drops_connections(place, connector):
    server = place.sshd("MaxStartups 2:50:6")
    results: list[str] = []

    def work() -> None:
        results.append(says(connector, place.target(server)))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == ["hello"] * 16


# --- keys and passwords


def test_a_refused_key_is_named_with_the_user(place, connector):
    server = place.sshd()
    server.authorized.write_text("")
    error = refused(connector, place.target(server))
    assert error.reason == "authentication"
    assert f"root at 127.0.0.1:{server.port} was refused; tried: key {place.key} (SHA256:" in error.message
    assert "~root/.ssh/authorized_keys" in error.hint


def test_nothing_to_offer(place, connector):
    server = place.sshd()
    place.config.write_text(place.config.read_text().replace(str(place.key), str(place.folder / "missing")))
    error = refused(connector, place.target(server))
    assert error.reason == "authentication"
    assert "no SSH agent (SSH_AUTH_SOCK), no key file" in error.message
    assert "missing" in error.hint


def test_an_encrypted_key(place, connector):
    server = place.sshd()
    key = generate(place.folder / "locked", passphrase="open sesame")
    server.authorized.write_text(Path(f"{key}.pub").read_text())
    place.config.write_text(place.config.read_text().replace(str(place.key), str(key)))
    error = refused(connector, place.target(server))
    assert error.reason == "authentication"
    assert f"{key} has a passphrase: ssh-add {key}" in error.message
    error = refused(connector, place.target(server, ansible_password="wrong"))
    assert f"{key} does not open with the passphrase given" in error.message
    assert says(connector, place.target(server, ansible_password="open sesame")) == "hello"


def test_damaged_and_unreadable_keys_are_passed_over(place, connector):
    server = place.sshd()
    (place.folder / "bad").write_text(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    )
    place.write_config(f"Host *\n IdentityFile {place.folder}/bad\n IdentityFile {place.folder}")
    assert says(connector, place.target(server)) == "hello"


def test_an_agent_opens_the_door_and_a_stale_socket_does_not_close_it(place, connector, monkeypatch):
    server = place.sshd()
    socket = place.folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 5
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(
            ["ssh-add", "-q", str(place.key)], env=environment, check=True, stderr=subprocess.DEVNULL
        )
        place.config.write_text(place.config.read_text().replace(str(place.key), "/none"))
        assert says(connector, place.target(server, options=f"-o IdentityAgent={socket}")) == "hello"
        error = refused(
            connector, place.target(server, options=f"-o IdentityAgent={socket} -o IdentitiesOnly=yes")
        )
        assert "nothing could be offered" in error.message
    finally:
        agent.terminate()
        agent.wait(5)
    error = refused(connector, place.target(server, options=f"-o IdentityAgent={socket}"))
    assert f"the agent at {socket} does not answer" in error.message


def test_too_many_keys_are_told_as_such(place, connector):
    server = place.sshd("MaxAuthTries 2")
    keys = [generate(place.folder / f"key{number}") for number in range(3)]
    place.write_config("Host *\n" + "".join(f" IdentityFile {key}\n" for key in keys))
    error = refused(connector, place.target(server))
    assert error.reason == "authentication"
    assert "the server hung up: it allows no more attempts (MaxAuthTries)" in error.message


def test_a_server_that_falls_silent_between_two_keys_is_late(place, connector, monkeypatch):
    server = place.sshd()
    relay = Relay(server.port)
    goes_on = Login._still_there

    def frozen(*args):
        goes_on(*args)
        relay.freeze()

    monkeypatch.setattr(Login, "_still_there", frozen)
    keys = [generate(place.folder / f"key{number}") for number in range(3)]
    place.write_config("Host *\n" + "".join(f" IdentityFile {key}\n" for key in keys))
    try:
        error = refused(connector, place.target(relay.port, ansible_timeout=2, options="-o StrictHostKeyChecking=no"))
    finally:
        relay.close()
    assert error.reason == "timeout"
    assert "MaxAuthTries" not in error.message


def test_who_is_stopped_between_two_keys_was_not_refused(place, connector, monkeypatch):
    server = place.sshd()
    relay = Relay(server.port)
    cancel = threading.Event()
    goes_on = Login._still_there

    def stopped(*args):
        goes_on(*args)
        relay.freeze()
        cancel.set()

    monkeypatch.setattr(Login, "_still_there", stopped)
    keys = [generate(place.folder / f"key{number}") for number in range(3)]
    place.write_config("Host *\n" + "".join(f" IdentityFile {key}\n" for key in keys))
    try:
        with pytest.raises(Interrupted):
            connector.connect(place.target(relay.port, options="-o StrictHostKeyChecking=no"), cancel=cancel)
    finally:
        relay.close()


def test_a_certificate_of_a_user(place, connector):
    authority = generate(place.folder / "ca")
    server = place.sshd(f"TrustedUserCAKeys {authority}.pub")
    server.authorized.write_text("")
    key = generate(place.folder / "signed")
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", "root", f"{key}.pub"], check=True)
    assert says(connector, place.target(server, ansible_ssh_private_key_file=str(key))) == "hello"


# --- host keys


def test_an_unknown_host_is_refused_with_fingerprint_and_remedy(place, connector):
    server = place.sshd(known=False)
    error = refused(connector, place.target(server))
    assert error.reason == "host_key"
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(server.host_key)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[1] in error.message
    assert "which known_hosts does not know" in error.message
    assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> {place.known_hosts}" in error.hint


def test_a_changed_key_names_the_line_and_how_to_forget_it(place, connector):
    server = place.sshd(known=False)
    other = generate(place.folder / "other_host")
    key = Path(f"{other}.pub").read_text().split()[1]
    place.known_hosts.write_text(f"# first\n[127.0.0.1]:{server.port} ssh-ed25519 {key}\n")
    error = refused(connector, place.target(server))
    assert error.reason == "host_key"
    assert f"{place.known_hosts}:2 knows SHA256:" in error.message
    assert f"ssh-keygen -f {place.known_hosts} -R '[127.0.0.1]:{server.port}'" in error.hint
    lax = place.target(server, ansible_host_key_checking=False)
    assert says(connector, lax) == "hello", "as with ssh, keys still work; only passwords are withheld"


def test_a_revoked_key(place, connector):
    server = place.sshd()
    with place.known_hosts.open("a") as lines:
        lines.write("@revoked * " + server.known_line.split(" ", 1)[1])
    error = refused(connector, place.target(server))
    assert error.reason == "host_key"
    assert "which is revoked" in error.message


def test_known_under_other_names(place, connector):
    server = place.sshd(known=False)
    kind, key = server.known_line.split()[1:]
    for line in (f"127.0.0.? {kind} {key}\n", f"[127.0.*]:{server.port} {kind} {key}\n"):
        place.known_hosts.write_text(line)
        assert says(connector, place.target(server)) == "hello"
    place.known_hosts.write_text(f"web-cluster {kind} {key}\n")
    assert says(connector, place.target(server, options="-o HostKeyAlias=web-cluster")) == "hello"
    place.known_hosts.write_text(server.known_line)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(place.known_hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in place.known_hosts.read_text()
    assert says(connector, place.target(server)) == "hello"


def test_new_hosts_can_be_trusted_once(place, connector):
    server = place.sshd(known=False)
    place.known_hosts.write_text("# no newline at the end")
    target = place.target(server, options="-o StrictHostKeyChecking=accept-new")
    assert says(connector, target) == "hello"
    assert place.known_hosts.read_text() == f"# no newline at the end\n{server.known_line}"
    assert says(connector, place.target(server)) == "hello"


def test_the_known_type_of_key_is_asked_for(place, connector):
    rsa = generate(place.folder / "rsa_host", "rsa")
    server = place.sshd(f"HostKey {rsa}", known=False)
    kind, key = Path(f"{rsa}.pub").read_text().split()[:2]
    place.known_hosts.write_text(f"[127.0.0.1]:{server.port} {kind} {key}\n")
    assert says(connector, place.target(server)) == "hello"


def test_a_certificate_authority_is_named_as_not_used(place, connector):
    server = place.sshd(known=False)
    place.known_hosts.write_text("@cert-authority " + server.known_line)
    error = refused(connector, place.target(server))
    assert f"the @cert-authority at {place.known_hosts}:1 was not used" in error.message


# --- ways


def test_jump_hosts_share_one_connection_and_are_checked_too(place, connector):
    outer, inner, server = place.sshd(), place.sshd(), place.sshd()
    place.write_config(
        f"Host outer\n HostName 127.0.0.1\n Port {outer.port}\nHost inner\n HostName 127.0.0.1\n Port {inner.port}\n"
    )
    for _ in range(3):
        assert says(connector, place.target(server, options="-J outer,inner")) == "hello"
    for jump in (outer, inner):
        assert jump.log.read_text().count("Accepted publickey") == 1
    place.known_hosts.write_text(server.known_line + inner.known_line)
    with Connector() as fresh:
        error = refused(fresh, place.target(server, options="-J outer,inner"))
    assert error.reason == "host_key"
    assert f"127.0.0.1:{outer.port} shows" in error.message


def test_a_target_that_refuses_behind_a_jump(place, connector):
    jump = place.sshd()
    place.write_config(f"Host jump\n HostName 127.0.0.1\n Port {jump.port}\n")
    error = refused(connector, place.target(free_port(), options="-J jump"))
    assert error.reason == "refused"
    assert f"127.0.0.1:{jump.port} cannot open the way to 127.0.0.1:" in error.message


def test_a_jump_that_is_down_is_not_tried_by_each_waiting_host(place, connector):
    silent = Listener(lambda line: None)
    place.write_config(f"Host jump\n HostName 127.0.0.1\n Port {silent.port}\n")
    errors: list[Unreachable] = []

    def work(number: int) -> None:
        target = place.target(1, f"web{number}", options="-J jump", ansible_ssh_timeout=1)
        errors.append(refused(connector, target))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    silent.close()
    assert [error.reason for error in errors] == ["no_banner"] * 6
    assert {error.host for error in errors} == {f"web{number}" for number in range(6)}
    assert time.monotonic() - started < 15, "one after the other they would take 60 s"
    assert len(silent.lines) < 6


def test_a_silent_target_behind_a_jump_does_not_harm_the_jump(place, connector):
    jump, server = place.sshd(), place.sshd()
    place.write_config(f"Host jump\n HostName 127.0.0.1\n Port {jump.port}\n")
    silent = Listener(lambda line: None)
    error = refused(connector, place.target(silent.port, options="-J jump", ansible_ssh_timeout=1))
    assert error.reason == "no_banner"
    silent.close()
    assert says(connector, place.target(server, options="-J jump")) == "hello"
    assert jump.log.read_text().count("Accepted publickey") == 1


def test_a_proxy_command_leads_there_and_its_words_are_told(place, connector):
    server = place.sshd()
    pipe = "import socket,os,sys,threading as t;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));"
    pipe += "f=lambda r,w:[w(d) for d in iter(lambda:r(9999),b'')];"
    pipe += "t.Thread(target=f,args=(lambda n:os.read(0,n),s.sendall),daemon=True).start();"
    pipe += "f(s.recv,lambda d:os.write(1,d))"
    place.write_config(f'Host *\n ProxyCommand python3 -c "{pipe}" %h %p\n')
    assert says(connector, place.target(server)) == "hello"
    place.write_config('Host *\n ProxyCommand sh -c "echo no way >&2; exit 7"\n')
    with Connector() as later:  # a run may ask for the configuration only once
        error = refused(later, place.target(server))
    assert error.reason == "no_banner"
    assert "the program said: no way (exit status 7)" in error.message


# --- failures on the way


def test_a_name_that_does_not_resolve(place, connector):
    error = refused(connector, place.target(22, ansible_host="no-such-host.invalid"))
    assert error.reason == "dns"
    assert "the name 'no-such-host.invalid' does not resolve" in error.message


def test_a_closed_port(place, connector):
    port = free_port()
    error = refused(connector, place.target(port))
    assert error.reason == "refused"
    assert f"127.0.0.1:{port} refuses the connection" in error.message


def test_no_route(place, connector):
    error = refused(connector, place.target(22, ansible_host="255.255.255.255"))
    assert error.reason == "no_route"


def test_a_server_that_says_nothing(place, connector):
    silent = Listener(lambda line: None)
    try:
        started = time.monotonic()
        error = refused(connector, place.target(silent.port, ansible_ssh_timeout=0.5))
        assert error.reason == "no_banner"
        assert "no SSH server said a word within 0.5 s" in error.message
        assert time.monotonic() - started < 5
    finally:
        silent.close()


def test_a_server_that_stops_after_its_banner(place, connector):
    stalled = Listener(lambda line: line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"))
    try:
        error = refused(connector, place.target(stalled.port, ansible_ssh_timeout=0.5))
        assert error.reason == "timeout"
        assert "did not answer within 0.5 s" in error.message
    finally:
        stalled.close()


def test_a_port_that_speaks_something_else(place, connector):
    web = Listener(lambda line: (line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 60), line.shutdown(1)))
    try:
        error = refused(connector, place.target(web.port, ansible_ssh_timeout=2))
        assert error.reason == "no_banner"
        assert "no SSH server answers" in error.message
    finally:
        web.close()


def test_a_stopped_connect_ends_at_once(place, connector):
    silent = Listener(lambda line: cancel.set())
    cancel = threading.Event()
    try:
        with pytest.raises(Interrupted):
            connector.connect(place.target(silent.port, ansible_ssh_timeout=60), cancel=cancel)
    finally:
        silent.close()


def test_algorithms_that_do_not_meet(place, connector):
    server = place.sshd("Ciphers aes256-gcm@openssh.com")
    assert says(connector, place.target(server)) == "hello"
    error = refused(connector, place.target(server, options="-o Ciphers=aes128-ctr"))
    assert error.reason == "configuration"
    assert "no algorithm in common" in error.message
    error = refused(connector, place.target(server, options="-o Ciphers=chacha20-poly1305@openssh.com"))
    assert "allows none of the ciphers that remedy knows" in error.message


def test_a_frozen_server_does_not_hold_the_close(place, connector):
    server = place.sshd()
    connection = connector.connect(place.target(server))
    children = subprocess.run(
        ["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=True
    )
    pids = [int(pid) for pid in children.stdout.split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        connection.close()
        assert time.monotonic() - started < 5
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
