"""`remedy lab down NAME` ends the hosts it is given, and no other."""

from __future__ import annotations

import pytest
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
    lab.up([HostSpec("stays"), HostSpec("goes")])
    try:
        assert cli("down", "goes").exit_code == 0
        assert [host.name for host in lab.hosts() if host.name in ("stays", "goes")] == ["stays"]
        assert lab.running("stays")
        written = (tmp_path / "inventory" / "lab.yml").read_text()
        assert "stays:" in written
        assert "goes:" not in written
    finally:
        lab.remove("stays")


def test_a_purge_of_single_hosts_is_refused(cli):
    with pytest.raises(InputError, match="--purge is for the whole lab"):
        cli("down", "goes", "--purge")
