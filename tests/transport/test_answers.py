"""One question for a fleet: its answer is what ssh says of each host by itself, or each host is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.transport import Target, TargetDefaults, answers
from remedy.transport.answers import Answers
from remedy.transport.configuration import resolve

ANYBODY = (
    "",
    "# Host web1\nUser deploy\nPort 2200\nIdentityFile ~/.ssh/id_%h_%p\n",
    "Host *\n  User deploy\n  ProxyCommand nc %h %p\n",
    'Host "*"\n  HostKeyAlias fleet\n  ControlPath ~/.ssh/%C\n',
    "StrictHostKeyChecking no\nCiphers aes128-ctr\n",
)
SOMEBODY = (
    "Host web1\n User root\n",
    "Host *\n Port 1\nHost !web1 *\n User other\n",
    "host=web2\n User other\n",
    "Match host web1\n User other\n",
    "Match exec true\n User other\n",
    "Host *\n HostName %h.example.org\n",
    "HostName gate.example.org\n",
    "CanonicalizeHostname yes\nCanonicalDomains invalid\nCanonicalizeFallbackLocal yes\n",
    "Include {folder}/more\n",
    "UserKnownHostsFile ~/.ssh/known_%h\n",
    "Host *\n IdentityAgent ~/agent-%n\n",
)
NAMES = ("web1", "web2", "WEB1.Example.org", "127.0.0.1", "::1", "fe80::1", "db_1", "10.0.0.7")


@pytest.fixture
def targets(tmp_path: Path) -> Callable[[str], list[Target]]:
    (tmp_path / "more").write_text("Host web1\n User included\n")

    def made(config: str) -> list[Target]:
        file = tmp_path / "config"
        file.write_text(config.replace("{folder}", str(tmp_path)))
        given = {"ansible_ssh_common_args": f"-F {file} -o ConnectTimeout=7", "ansible_user": "me"}
        return [
            Target.from_variables(name, {**given, **port}, TargetDefaults())
            for name in NAMES
            for port in ({}, {"ansible_port": 2022})
        ]

    return made


@pytest.mark.parametrize("config", [*ANYBODY, *SOMEBODY])
def test_the_answer_is_what_ssh_says_of_each(targets: Callable[[str], list[Target]], config: str) -> None:
    read = Answers().read
    for target in targets(config):
        assert resolve(target, read) == resolve(target), target


@pytest.mark.parametrize("config", ANYBODY)
def test_a_fleet_asks_once(
    targets: Callable[[str], list[Target]], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(answers, "read_settings", lambda host, *rest: asked.append(host))
    read = Answers().read
    for target in targets(config):
        resolve(target, read)
    assert asked == []


@pytest.mark.parametrize("config", SOMEBODY)
def test_where_a_host_may_be_singled_out_each_is_asked_for(
    targets: Callable[[str], list[Target]], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = answers.read_settings
    monkeypatch.setattr(
        answers, "read_settings", lambda host, *rest: asked.append(host) or whole(host, *rest)
    )
    read = Answers().read
    for target in targets(config):
        resolve(target, read)
    assert set(asked) == set(NAMES)


@pytest.mark.parametrize(
    "script",
    ["echo 'hostname a-name-that-remedy-made-up'", "echo OpenSSH_9.2 >&2; exit 255", "exec sleep 60"],
)
def test_a_program_that_is_no_openssh_is_asked_for_each_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(answers, "_PATIENCE", 0.5)
    asked: list[str] = []
    monkeypatch.setattr(answers, "read_settings", lambda host, *rest: asked.append(host))
    read = Answers().read
    for name in ("web1", "web2"):
        read(name, name, ["-p", "22", "-l", name])
    assert asked == ["web1", "web2"]
