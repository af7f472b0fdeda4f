"""One fixture is one behaviour: tests/modules/NAME/BEHAVIOUR.yml.

`given` is what is on the host and `control` what is on the control machine: a text is a file, {link}, {directory},
{content, mode, owner, group} are what they say. `task` holds the parameters, where ROOT is the host's folder.
`expect` is the status, `message` what the reason says, `result` return values, `then` what is there afterwards (null:
nothing). Unless the fixture says otherwise each behaviour also proves that check mode foresees it and touches
nothing, that a second run changes nothing, and that undo brings everything back.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.modules.harness import Bench, snapshot

HERE = Path(__file__).parent
MODULES = ("copy", "file", "find", "lineinfile", "slurp", "stat", "template")
FIXTURES = [path for module in MODULES for path in sorted((HERE / module).glob("*.yml"))]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_behaviour(path: Path, bench: Bench, root: Path) -> None:
    fixture = yaml.safe_load(path.read_text().replace("ROOT", str(root)))
    module = path.parent.name
    _make(root, fixture.get("given") or {})
    _make(bench.folder, fixture.get("control") or {})
    before = snapshot(root)

    foreseen = bench.run(module, check_mode=True, **fixture["task"])
    assert foreseen.status == fixture.get("foreseen", fixture["expect"]), foreseen.reason
    assert snapshot(root) == before
    bench.forget()

    ran = bench.run(module, **fixture["task"])
    assert ran.status == fixture["expect"], ran.reason
    assert re.search(fixture.get("message", ""), ran.reason), ran.reason
    assert _part(ran.result, fixture.get("result") or {}) == (fixture.get("result") or {})
    _compare(root, fixture.get("then") or {})
    if fixture["expect"] != "changed":
        assert snapshot(root) == before
        return

    if fixture.get("again", True):
        again = bench.run(module, **fixture["task"])
        assert again.status == "ok", again.frames
    if fixture.get("undo", True):
        undone = bench.undo(ran)
        assert set(undone.statuses) <= {"changed"}, undone.frames
        assert snapshot(root) == before


def test_every_module_has_behaviours() -> None:
    assert {path.parent.name for path in FIXTURES} == set(MODULES)


def _make(root: Path, things: dict[str, Any]) -> None:
    for name, given in things.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        thing = {"content": given} if isinstance(given, str) else given
        if "link" in thing:
            path.symlink_to(thing["link"])
            continue
        if "hard" in thing:
            path.hardlink_to(root / thing["hard"])
            continue
        if thing.get("directory"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(thing.get("content", "").encode() * thing.get("times", 1))
        os.chown(path, thing.get("owner", -1), thing.get("group", -1))
        path.chmod(int(thing.get("mode", "0755" if thing.get("directory") else "0644"), 8))


def _compare(root: Path, then: dict[str, Any]) -> None:
    for name, expected in then.items():
        path = root / name
        if expected is None:
            assert not path.is_symlink()
            assert not path.exists()
            continue
        thing = {"content": expected} if isinstance(expected, str) else expected
        if "link" in thing:
            assert str(path.readlink()) == thing["link"]
            continue
        assert path.is_dir() == bool(thing.get("directory"))
        found = path.stat()
        have = {
            "content": None if path.is_dir() else path.read_bytes().decode(),
            "mode": f"{found.st_mode & 0o7777:04o}",
            "owner": found.st_uid,
            "group": found.st_gid,
            "links": found.st_nlink,
        }
        wanted = {key: value for key, value in thing.items() if key != "directory"}
        assert {key: have[key] for key in wanted} == wanted, name


def _part(whole: Any, pattern: Any) -> Any:
    """Cut a result down to the keys that a pattern names."""
    if isinstance(pattern, dict) and isinstance(whole, dict):
        return {key: _part(whole[key], pattern[key]) for key in pattern if key in whole}
    if isinstance(pattern, list) and isinstance(whole, list) and len(pattern) == len(whole):
        return [_part(*pair) for pair in zip(whole, pattern, strict=True)]
    return whole
