"""Hosts of one's own: who plays whom, and who is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.document import Map
from remedy.drill.providers import Need
from remedy.drill.providers.choose import Settings, make
from remedy.drill.providers.lab import LabProvider
from remedy.drill.providers.static import StaticProvider
from remedy.errors import InputError, Position, Refused
from remedy.project import Project

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
