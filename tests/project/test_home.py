"""Who runs remedy may have no home folder: a service's or a container's user, without HOME or an entry in passwd."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

from remedy.agent.kinds import Failed
from remedy.cli.asking import extra_vars
from remedy.errors import InputError
from remedy.home import expanded, home_folder
from remedy.modules.controller import _pgpass
from remedy.modules.controller._mysql import login_of
from remedy.project import Project
from remedy.transport.payload import Payloads
from remedy.transport.pythons import Pythons
from remedy.transport.tokens import expand_path, tokens

NOBODYS = ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "REMEDY_STATE", "PGPASSFILE")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this user have neither HOME nor an entry; a mock, because only root can become somebody else."""

    def unknown(who: object) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {who}")

    for name in NOBODYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


class Site:
    name, user, address = "db1", "admin", "10.0.0.7"

    def ask(self, module: str, **params: Any) -> dict[str, Any]:
        return {"options": {}, "passfile": "*:*:*:*:theirs", "ignored": None}


@pytest.mark.usefixtures("homeless")
def test_what_must_have_a_folder_says_what_to_set() -> None:
    with pytest.raises(InputError) as told:
        _ = Project(Path("/srv")).state
    assert str(told.value) == (
        f"user {os.getuid()} has no home folder: HOME is not set, and no entry of the password file names one\n"
        "  set REMEDY_STATE, or HOME"
    )
    with pytest.raises(InputError) as told:
        home_folder("VAGRANT_HOME")
    assert told.value.hint == "set VAGRANT_HOME, or HOME"


@pytest.mark.usefixtures("homeless")
def test_what_is_only_faster_with_a_folder_goes_without() -> None:
    assert Payloads().pack(["ping"]) == Payloads().pack(["ping"])
    known = Pythons()
    known.saw("web1", "3.6.8")
    known.keep()
    assert not Pythons().foreign("web1")
    letters = tokens(name="web1", host="web1", port=22, user="me", jump="", alias=None)
    assert expand_path("~/.ssh/id", letters) == "~/.ssh/id"
    assert _pgpass.find(Site(), "10.0.0.7", 5432, "shop", "app") == "theirs"  # type: ignore[arg-type]


@pytest.mark.usefixtures("homeless")
def test_a_path_that_somebody_wrote_is_told_as_written() -> None:
    with pytest.raises(InputError) as told:
        extra_vars(["@~/x.yml"], None)
    assert told.value.message == "'~/x.yml': no home folder is known for ~"
    assert told.value.hint == "expected a path without ~, or set HOME"
    with pytest.raises(Failed, match=r"local_config_file: '~/\.my\.cnf': no home folder"):
        login_of(Site(), {"local_config_file": "~/.my.cnf"})  # type: ignore[arg-type]


def test_a_user_that_does_not_exist_has_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no home folder is known for ~no-such-user"):
        expanded("~no-such-user/x")
    monkeypatch.setenv("HOME", tempfile.gettempdir())
    assert expanded("~/x") == Path(tempfile.gettempdir(), "x")
    assert expanded("/x") == Path("/x")
