"""`remedy lab down NAME` ends the hosts it is given, and no other."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from remedy.cli import lab as command
from remedy.errors import InputError
from remedy.lab import HostSpec


@pytest.fixture
def cli(lab, tmp_path, monkeypatch):
    """Run `remedy lab ...` on the lab of the tests, in a project of its own."""
    monkeypatch.setattr(command, "_lab", lambda: lab)
    (tmp_path / "inventory").mkdir()
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(command.lab, words, catch_exceptions=False)


def test_ends_only_the_hosts_named(cli, lab, tmp_path):
    (tmp_path / "lab.yml").write_text("hosts: {stays: {}, goes: {}}\n")
    assert cli("up").exit_code == 0
    try:
        assert cli("down", "goes").exit_code == 0
        assert [host.name for host in lab.hosts() if host.name in ("stays", "goes")] == ["stays"]
        assert lab.running("stays")
        written = (tmp_path / "inventory" / "lab.yml").read_text()
        assert "stays:" in written
        assert "goes:" not in written
    finally:
        lab.remove("stays")


def test_the_inventory_holds_no_host_of_another_project(cli, lab, tmp_path):
    lab.up([HostSpec("theirs")])
    (tmp_path / "lab.yml").write_text("hosts: {ours: {}}\n")
    path = tmp_path / "inventory" / "lab.yml"
    try:
        # One that an earlier `up -f` of this project has started stays in it.
        (tmp_path / "more.yml").write_text("hosts: {more: {}}\n")
        assert cli("up", "-f", "more.yml").exit_code == 0
        told = cli("up")
        written = yaml.safe_load(path.read_text())["all"]
        assert set(written["hosts"]) == {"ours", "more"}
        assert set(written["children"]["base"]["hosts"]) == {"ours", "more"}
        assert "not in it, for no lab.yml of this project declares them:" in told.stderr
        assert "theirs" in told.stderr
        cli("down", "more")
        assert set(yaml.safe_load(path.read_text())["all"]["hosts"]) == {"ours"}
        cli("down", "ours")
        assert lab.running("theirs")
        assert not path.exists()
    finally:
        lab.remove(*{"theirs", "ours", "more"}.intersection(host.name for host in lab.hosts()))


def test_a_purge_of_single_hosts_is_refused(cli):
    with pytest.raises(InputError, match="--purge is for the whole lab"):
        cli("down", "goes", "--purge")
