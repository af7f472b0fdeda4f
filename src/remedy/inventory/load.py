"""Sources of an inventory: what kind each is, and the order in which they count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from remedy.document import Decrypt, Map, load_yaml
from remedy.document.files import read_text
from remedy.errors import InputError, Position
from remedy.inventory.draft import Draft
from remedy.inventory.ini import read_ini
from remedy.inventory.inventory import Inventory
from remedy.inventory.model import UNGROUPED
from remedy.inventory.ranges import add_hosts
from remedy.inventory.script import is_script, read_script
from remedy.inventory.tree import read_tree
from remedy.inventory.varfiles import VarFiles
from remedy.template import Vault

_YAML = (".yml", ".yaml", ".json")
_IGNORED_ENDINGS = (
    *("~", ".orig", ".bak", ".swp", ".cfg", ".retry", ".pyc", ".pyo"),
    *(".rpm", ".md", ".txt", ".rst"),
)
_IGNORED_NAMES = ("group_vars", "host_vars", "vars_plugins")


def load(sources: Sequence[str], *, root: Path, vault: Vault | None = None) -> Inventory:
    """Return the inventory that the sources make together, a later one winning.

    A source is a path (INI, YAML, an executable, a folder of these; relative to `root`) or a list
    `host1,host2,`. Raises InputError with the place of what cannot be used.
    """
    draft = Draft()
    decrypt = vault.open if vault is not None else None
    folders: dict[Path, None] = {}
    for source in sources:
        path = root / source
        if "," in source and not path.exists():
            for name in filter(None, (part.strip() for part in source.split(","))):
                add_hosts(draft, name, UNGROUPED, Map(), Position(source), None)
            continue
        _read(path, draft, decrypt)
        folders[path if path.is_dir() else path.parent] = None
    hosts, groups = draft.finish()
    return Inventory(hosts, groups, list(folders), VarFiles(decrypt))


def _read(path: Path, draft: Draft, decrypt: Decrypt | None) -> None:
    if path.is_dir():
        for inside in sorted(path.iterdir()):
            ignored = inside.name.startswith(".") or inside.name.endswith(_IGNORED_ENDINGS)
            if not ignored and inside.name not in _IGNORED_NAMES:
                _read(inside, draft, decrypt)
        return
    if not path.exists():
        hint = "expected a file, a folder, or a list of hosts that ends in a comma: web1,"
        raise InputError("the inventory does not exist", where=Position(str(path)), hint=hint)
    if path.suffix == ".toml":
        hint = "expected INI, YAML, JSON or a program"
        raise InputError("TOML inventories are not supported", where=Position(str(path)), hint=hint)
    if is_script(path):
        read_script(path, draft)
        return
    text = read_text(path, vault=decrypt)
    if path.suffix in _YAML or (path.suffix != ".ini" and _looks_like_yaml(text)):
        read_tree(load_yaml(text, str(path)), path, draft)
    else:
        read_ini(text, path, draft)


def _looks_like_yaml(text: str) -> bool:
    for raw in text.splitlines():
        line = raw.split(" #")[0].rstrip()
        if line and line[0] not in "#;":
            return line.startswith(("---", "{")) or line.endswith(":")
    return False
