"""Hosts of one's own: who plays whom, and who is left alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.cli import main
from remedy.document import Map, Text
from remedy.drill import machines
from remedy.drill.cleaning import clean
from remedy.drill.providers import Need
from remedy.drill.providers.choose import Settings, make
from remedy.drill.providers.lab import LabProvider
from remedy.drill.providers.static import StaticProvider
from remedy.drill.runs import Access
from remedy.drill.state import Broken, Diary, State
from remedy.errors import InputError, Position, Refused
from remedy.project import Project
from tests.drill.rehearsing import DRILL, RUNBOOK

INVENTORY = """
all:
  vars: {drill: true}
  children:
    app:
      hosts:
        web1: {ansible_host: 10.0.0.1}
        web2: {ansible_host: 10.0.0.2, ansible_port: 2222}
    mysql:
      hosts:
        db1: {}
        shop: {drill: false}
"""


def need(name: str, role: str, **options: object) -> Need:
    written = Map()
    written.update(options)
    return Need(name=name, role=role, options=written, position=Position("d.yml", 3, 3))


@pytest.fixture
def provider(tmp_path: Path) -> StaticProvider:
    (tmp_path / "staging.yml").write_text(INVENTORY)
    return StaticProvider(tmp_path / "staging.yml")


def test_a_host_of_the_same_name_else_the_next_of_the_role(provider: StaticProvider):
    stage = provider.acquire([need("app1", "app"), need("db1", "mysql"), need("web1", "app")])
    assert dict(stage.hosts) == {"app1": "web2", "db1": "db1", "web1": "web1"}
    assert stage.keys["app1"] == "10.0.0.2:2222"
    assert stage.keys["db1"] == "db1:22"


def test_too_few_hosts_are_told_at_the_place_of_the_need(provider: StaticProvider):
    with pytest.raises(
        InputError, match=r"d.yml:3:3: .*staging.yml has no host for c \(role app\)"
    ) as caught:
        provider.acquire([need(name, "app") for name in "abc"])
    assert "expected a host called 'c', or one more in a group 'app'" in str(caught.value)


def test_an_unmarked_host_is_refused_or_passed_by(provider: StaticProvider):
    with pytest.raises(Refused, match="shop cannot be drilled on") as caught:
        provider.acquire([need("shop", "mysql")])
    assert "expected `drill: true`" in str(caught.value)
    assert provider.acquire([need("any", "mysql")]).hosts == {"any": "db1"}


def test_a_limit_leaves_hosts_out(tmp_path: Path, provider: StaticProvider):
    limited = StaticProvider(tmp_path / "staging.yml", limit="!web1")
    assert limited.acquire([need("a", "app")]).hosts == {"a": "web2"}


def test_what_is_remembered_finds_the_inventory_again(tmp_path: Path, provider: StaticProvider):
    again = StaticProvider.resume(provider.remember())
    assert again is not None
    assert again.acquire([need("db1", "mysql")]).hosts == {"db1": "db1"}
    (tmp_path / "staging.yml").unlink()
    assert StaticProvider.resume(provider.remember()) is None


def test_providers_are_known_by_name(tmp_path: Path):
    settings = Settings(project=Project(tmp_path))
    assert isinstance(make("lab", settings), LabProvider)
    with pytest.raises(InputError, match="the provider 'static' needs an inventory"):
        make("static", settings)
    with pytest.raises(InputError, match=r"no provider 'labb'\n  did you mean 'lab'\?"):
        make("labb", settings)


def key(tmp_path: Path, variables: str) -> str:
    (tmp_path / "one.yml").write_text(
        f"all: {{vars: {{drill: true, addr: 10.0.0.7}}, hosts: {{web: {{{variables}}}}}}}"
    )
    return StaticProvider(tmp_path / "one.yml").acquire([need("web", "app")]).keys["web"]


def resolves(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
    if name == "six.example":
        return [(0, 0, 0, "", ("fd00::1", 0, 0, 0)), (0, 0, 0, "", ("10.0.0.7", 0))]
    return REAL(name, None)  # type: ignore[return-value]


REAL = socket.getaddrinfo


@pytest.mark.parametrize(
    "variables",
    [
        "ansible_host: 10.0.0.7",
        "ansible_host: '{{ addr }}'",
        "ansible_host: 10.0.7",
        "ansible_ssh_host: 10.0.0.7, ansible_ssh_port: 22",
        "ansible_host: six.example",
        "ansible_host: other, ansible_ssh_common_args: '-o HostName=10.0.0.7'",
    ],
)
def test_one_machine_has_one_key_however_it_is_called(
    tmp_path: Path, variables: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(socket, "getaddrinfo", resolves)
    assert key(tmp_path, variables) == "10.0.0.7:22"


def test_machines_that_differ_keep_their_keys(tmp_path: Path):
    assert key(tmp_path, "ansible_host: 10.0.0.7, ansible_port: '{{ 2200 + 22 }}'") == "10.0.0.7:2222"
    assert key(tmp_path, "ansible_connection: local") == "127.0.0.1:22"


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    try:
        assert machines.address("Slow.example.", patience=0.05) == "slow.example"
    finally:
        over.set()


def test_an_address_that_the_inventory_does_not_tell_is_bad_input(tmp_path: Path):
    with pytest.raises(InputError, match=r"the inventory does not tell the address of web: .*'nobody'"):
        key(tmp_path, "ansible_host: '{{ nobody }}'")


def test_two_hosts_of_a_drill_are_two_machines(tmp_path: Path):
    (tmp_path / "one.yml").write_text(
        "all: {vars: {drill: true}, hosts: {a: {ansible_host: 10.0.0.7}, b: {ansible_host: 10.0.7}}}"
    )
    with pytest.raises(InputError, match=r"d.yml:3:3: a and b are one machine: 10.0.0.7:22"):
        StaticProvider(tmp_path / "one.yml").acquire([need("a", "app"), need("b", "app")])


Drill = Callable[..., tuple[int, str]]


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drill:
    """Return what drills on a marked host that does not answer, and returns the exit code and what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))

    def run(*flags: str, variables: str = "{}") -> tuple[int, str]:
        for name, text in {
            "playbooks/flag.yml": RUNBOOK,
            "drills/flag.yml": f"{DRILL}vars: {variables}\n",
            "inventory/staging.yml": "all: {vars: {drill: true, addr: 127.0.0.2}, "
            "hosts: {h1: {ansible_host: '{{ addr }}', ansible_port: 9}}}",
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["drill", "flag", "--provider", "static", "-i", "staging", *flags])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out + err

    return run


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-e", "ansible_host=10.0.0.9"], "a drill takes no -e ansible_host"),
        (["-e", "ansible_port=2"], "a drill takes no -e ansible_port"),
        (["-e", "ansible_connection=local"], "a drill takes no -e ansible_connection"),
        (["-e", '{"ansible_ssh_common_args": "-o Port=2"}'], "a drill takes no -e ansible_ssh_common_args"),
        (["-c", "local"], "a drill takes no -c local"),
        (["--ssh-common-args", "-o HostName=b"], "a drill takes no --ssh-common-args"),
    ],
)
def test_no_flag_leads_to_another_machine(drill: Drill, flags: list[str], said: str):
    code, told = drill(*flags)
    assert (code, said in told) == (3, True), told
    assert "belongs to the address that the inventory gives" in told


@pytest.mark.parametrize(
    ("flags", "variables"), [(["-e", "addr=127.0.0.3"], "{}"), ([], "{addr: 127.0.0.3}")]
)
def test_no_variable_leads_to_another_machine(drill: Drill, flags: list[str], variables: str):
    code, told = drill(*flags, variables=variables)
    assert code == 3, told
    assert "the inventory marks 127.0.0.2:9, and with the drill's variables or -e it is 127.0.0.3:9" in told


def test_how_one_logs_in_is_for_the_flags(drill: Drill):
    code, told = drill("-e", "ansible_user=me ansible_become_user=root", "-u", "me")
    assert code == 4, told  # nobody listens there


def test_no_variable_leads_the_rollback_of_a_killed_drill_to_another_machine(drill: Drill, tmp_path: Path):
    drill("-e", "addr=127.0.0.3")  # writes the project
    inventory = str(tmp_path / "inventory/staging.yml")
    file = str(tmp_path / "drills/flag.yml")
    broken = Broken(
        name="flag",
        file=file,
        copy=file,
        inventory=inventory,
        hosts={"h1": "h1"},
        keys={"h1": "127.0.0.2:9"},
        project=str(tmp_path),
        begun=True,
    )
    state = State(id="one", user="me", process=1, provider="static", remembered={"inventory": inventory})
    diary = Diary(tmp_path / "state/drills/one", state)
    diary.write(drill=broken)
    diary.close()
    extra = Map()
    extra["addr"] = Text("127.0.0.3")
    cleaned = clean(Project.find(tmp_path), Access(user="me", extra=extra), lambda _: None)
    ((trouble,),) = [one.troubles for one in cleaned if one.id == "one"]
    assert "the inventory marks 127.0.0.2:9, and with the drill's variables or -e it is 127.0.0.3:9" in trouble


@pytest.mark.lab
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (need("a", "oracle"), "d.yml:3:3: the lab has no role 'oracle' for a"),
        (
            need("a", "app", disk="9M"),
            "d.yml:3:3: hosts.a has an unknown key 'disk'\n  did you mean 'disks'?",
        ),
        (need("A", "app"), "d.yml:3:3: 'A' is no host name for the lab"),
    ],
)
def test_what_the_lab_cannot_meet_is_told_before_a_host_starts(tmp_path: Path, asked: Need, said: str):
    provider = LabProvider()
    provider.open(tmp_path)
    try:
        with pytest.raises(InputError) as caught:
            provider.acquire([asked])
    finally:
        provider.close()
    assert said in str(caught.value)
