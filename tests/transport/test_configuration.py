"""From ssh_config to an endpoint: asked of the ssh program, and read by Paramiko where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.errors import Unreachable
from remedy.transport import Target, TargetDefaults
from remedy.transport.configuration import resolve
from remedy.transport.endpoint import Endpoint


@pytest.fixture(params=["ssh", "paramiko"])
def program(request, monkeypatch, tmp_path):
    if request.param == "paramiko":
        monkeypatch.setenv("PATH", str(tmp_path))
    return request.param


@pytest.fixture
def ask(tmp_path, program):
    def ask(config: str, name: str = "web1", **variables) -> Endpoint:
        file = tmp_path / "config"
        file.write_text(config)
        options = variables.pop("options", "")
        variables["ansible_ssh_common_args"] = f"-F {file} {options}"
        return resolve(Target.from_variables(name, variables, TargetDefaults()))

    return ask


def test_patterns_tokens_and_names(ask):
    found = ask(
        "Host web*\n HostName %h.example.org\n User deploy\n Port 2200\n IdentityFile /keys/%r@%h\n"
        " IdentitiesOnly yes\n UserKnownHostsFile /known/a /known/b\n GlobalKnownHostsFile none\n"
        " StrictHostKeyChecking accept-new\n ConnectTimeout 4\n HostKeyAlias web\n HashKnownHosts yes\n"
    )
    assert (found.host, found.user, found.port) == ("web1.example.org", "deploy", 2200)
    assert found.identity_files == ("/keys/deploy@web1.example.org",)
    assert found.identities_only
    assert found.known_hosts == ("/known/a", "/known/b")
    assert found.global_known_hosts == ()
    assert (found.strict, found.timeout, found.hash_known_hosts) == ("accept-new", 4.0, True)
    assert found.known_as == "web"


def test_variables_win_over_the_file_and_the_first_option_counts(ask):
    found = ask(
        "Host *\n User file\n Port 1\n StrictHostKeyChecking yes\n IdentityFile /file\n",
        ansible_user="var",
        ansible_port=2,
        ansible_ssh_private_key_file="/var key",
        ansible_host_key_checking=False,
        ansible_ssh_timeout=2.5,
        options="-o Port=3 -o IdentityFile=/option -o ConnectTimeout=9",
    )
    assert (found.user, found.port, found.strict, found.timeout) == ("var", 2, "no", 2.5)
    assert found.identity_files == ("/var key", "/option", "/file")


def test_asking_is_not_possible_so_ask_is_yes(ask):
    assert ask("Host *\n StrictHostKeyChecking ask\n").strict == "yes"


def test_jumps_are_walked_in_openssh_s_order_each_with_its_own_configuration(ask):
    found = ask(
        "Host outer\n HostName 10.0.0.1\n User o\nHost inner\n HostName 10.0.0.2\n Port 2022\n"
        "Host web1\n ProxyJump outer,me@inner\n User w\n",
        options="-o StrictHostKeyChecking=no",
    )
    inner = found.via
    outer = inner.via
    assert (inner.host, inner.port, inner.user) == ("10.0.0.2", 2022, "me")
    assert (outer.host, outer.port, outer.user) == ("10.0.0.1", 22, "o")
    assert outer.via is None
    assert inner.strict == "yes", "options of the command line are not for jump servers"
    assert found.address == "web1:22 through 10.0.0.2:2022 through 10.0.0.1:22"


def test_a_jump_has_its_own_jump(ask):
    found = ask("Host inner\n ProxyJump outer\nHost web1\n ProxyJump inner\n")
    assert (found.via.host, found.via.via.host) == ("inner", "outer")


@pytest.mark.parametrize(
    ("jump", "expected"),
    [
        ("user@[::1]:23", ("user", "::1", 23)),
        ("ssh://u@h:24", ("u", "h", 24)),
        ("me@h", ("me", "h", 22)),
    ],
)
def test_forms_of_a_jump(ask, jump, expected):
    via = ask("", options=f"-J {jump}").via
    assert (via.user, via.host, via.port) == expected


def test_no_jump_at_all(ask):
    found = ask("Host web1\n ProxyJump none\nHost *\n ProxyJump bastion\n")
    assert found.via is None
    assert found.proxy_command is None


def test_a_jump_through_itself_is_named(ask):
    with pytest.raises(Unreachable) as caught:
        ask("Host *\n ProxyJump bastion\n User u\n", name="bastion")
    assert caught.value.reason == "configuration"
    assert "Host * !bastion" in str(caught.value)


def test_a_proxy_command_has_its_tokens(ask, program):
    found = ask("Host web1\n HostName 10.0.0.9\n Port 2222\n ProxyCommand nc %h %p # %%\n")
    assert found.proxy_command.startswith("nc 10.0.0.9 2222")
    assert found.door == ("program", found.proxy_pattern)
    if program == "ssh":
        assert "%h" in found.proxy_pattern, (
            "what limits logins is the command before the host's name is in it"
        )


def test_agents(ask, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert ask("").agent == "/run/agent"
    assert ask("Host *\n IdentityAgent none\n").agent is None
    assert ask("Host *\n IdentityAgent /other\n").agent == "/other"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert ask("").agent is None


def test_allowed_algorithms_and_methods(ask):
    found = ask("Host *\n Ciphers aes256-ctr\n PasswordAuthentication no\n AddressFamily inet6\n")
    assert found.algorithms["ciphers"] == ("aes256-ctr",)
    assert found.methods == {"publickey", "keyboard-interactive"}
    assert found.family.name == "AF_INET6"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            "Host *\n RevokedHostKeys /revoked\n",
            "revokedhostkeys is set for 'web1', which remedy cannot honour",
        ),
        ("Host *\n ProxyJump [a\n", "ProxyJump"),
    ],
)
def test_what_cannot_be_honoured_is_refused(ask, config, text):
    with pytest.raises(Unreachable) as caught:
        ask(config)
    assert caught.value.reason == "configuration"
    assert text in str(caught.value)


def test_a_mistake_in_the_file_is_told_in_ssh_s_words(tmp_path):
    file = tmp_path / "config"
    file.write_text("Host *\n Prot 22\n")
    with pytest.raises(Unreachable) as caught:
        resolve(Target.from_variables("web1", {"ansible_ssh_common_args": f"-F {file}"}))
    assert f"{file}: line 2: Bad configuration option: prot" in str(caught.value)


def test_a_config_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("remedy.transport.sshconfig._PATIENCE", 0.2)
    file = tmp_path / "config"
    file.write_text('Match exec "exec sleep 10"\n User x\n')
    with pytest.raises(Unreachable) as caught:
        resolve(Target.from_variables("web1", {"ansible_ssh_common_args": f"-F {file}"}))
    assert "did not end within" in str(caught.value)


def test_without_the_ssh_program_each_directive_not_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "config"
    file.write_text("Host *\n ControlMaster auto\nInclude more\nHost web1\n  CanonicalizeHostname yes\n")
    found = resolve(Target.from_variables("web1", {"ansible_ssh_common_args": f"-F {file}"}))
    assert found.notes == (
        f"{file}:3: Include was not read: there is no ssh program here",
        f"{file}:5: CanonicalizeHostname was not read: there is no ssh program here",
    )


def test_home_and_environment_in_paths(ask, monkeypatch):
    monkeypatch.setenv("KEYS", "/k")
    found = ask("Host *\n IdentityFile ~/.ssh/own\n IdentityFile ${KEYS}/x\n")
    assert found.identity_files == (str(Path.home() / ".ssh/own"), "/k/x")
