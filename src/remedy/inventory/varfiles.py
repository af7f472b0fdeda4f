"""`group_vars/` and `host_vars/`: files or folders, beside the inventory and beside the playbook."""

from __future__ import annotations

from pathlib import Path

from remedy.document import Decrypt, Map, load_file
from remedy.errors import InputError, Position
from remedy.inventory.model import overlay

_ENDINGS = ("", ".yml", ".yaml", ".json")


class VarFiles:
    """Reads the variables of groups and hosts, each file once."""

    def __init__(self, vault: Decrypt | None) -> None:
        self._vault = vault
        self._read: dict[Path, Map] = {}

    def find(self, folder: Path | None, kind: str, name: str) -> Map:
        """Return the variables in `folder/kind/name`: a file, with or without ending, or a folder of files."""
        if folder is None or "/" in name:
            return Map()
        base = folder / kind / name
        known = self._read.get(base)
        if known is None:
            known = self._read[base] = overlay([self._load(file) for file in _files(base)])
        return known

    def _load(self, file: Path) -> Map:
        data = load_file(file, vault=self._vault)
        if data is None:
            return Map()
        if not isinstance(data, Map):
            hint = "expected a mapping of variables: name: value"
            raise InputError("the file holds no variables", where=Position(str(file), 1), hint=hint)
        return data


def _files(base: Path) -> list[Path]:
    """Return the files for a name; of several endings only the first that exists counts, as in Ansible."""
    for ending in _ENDINGS:
        path = base.with_name(base.name + ending)
        if path.is_dir():
            return _inside(path)
        if path.exists():
            return [path]
    return []


def _inside(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir():
            found += _inside(path) if not path.suffix else []
        elif path.suffix in _ENDINGS:
            found.append(path)
    return found
