"""The project: where playbooks/, tasks/, inventory/ and remedy.yml are found, and the package's library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, field

from remedy.errors import InputError, Position, nearest
from remedy.home import expanded, home_folder

SETTINGS_FILE = "remedy.yml"
_MARKS = (SETTINGS_FILE, "playbooks", "inventory")
_YAML = (".yml", ".yaml")
_INVENTORY = (*_YAML, ".ini", "")


class Settings(Struct, frozen=True, kw_only=True):
    """What remedy.yml may say; paths as written, relative to the project's root."""

    inventory: str | None = None
    state: str | None = None
    forks: int | None = None
    vault_password_file: str | None = None
    history: str | None = None


class Found(NamedTuple):
    """A playbook or drill that can be run by its name; `origin` is project or package."""

    name: str
    path: Path
    origin: str


def _library() -> Path:
    """Return the folder with the package's own playbooks/ and tasks/: in the wheel, or the checkout."""
    installed = Path(__file__).parent / "library"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2]


def root_of(start: Path) -> Path:
    """Return the root of the project that a folder lies in, which may be gone: see Project.find."""
    start = start.absolute()
    return next(
        (one for one in (start, *start.parents) if any((one / mark).exists() for mark in _MARKS)), start
    )


class Project(Struct, frozen=True):
    """The folder a user works in, its settings, and the package's library behind it."""

    root: Path
    settings: Settings = field(default_factory=Settings)
    library: Path = field(default_factory=_library)

    @classmethod
    def find(cls, start: Path) -> Project:
        """Return the project that `start` lies in; a remedy.yml that cannot be used is an InputError.

        Its root is the nearest parent with remedy.yml, playbooks/ or inventory/, without one `start` itself.
        """
        home = root_of(start)
        written = home / SETTINGS_FILE
        return cls(home, _read_settings(written) if written.is_file() else Settings())

    @property
    def state(self) -> Path:
        """Where the journals of the runs are kept: REMEDY_STATE, remedy.yml, or the user's state folder."""
        named = os.environ.get("REMEDY_STATE")
        if named:
            return expanded(named).absolute()
        if self.settings.state is not None:
            return self._under_root(self.settings.state)
        base = Path(os.environ.get("XDG_STATE_HOME") or "")
        return (base if base.is_absolute() else home_folder("REMEDY_STATE") / ".local" / "state") / "remedy"

    @property
    def history(self) -> str | None:
        """The URL of the history database: REMEDY_HISTORY_URL or remedy.yml; None: a file in the state folder."""
        return os.environ.get("REMEDY_HISTORY_URL") or self.settings.history

    @property
    def vault_password_file(self) -> Path | None:
        """The vault password file that remedy.yml names, if any."""
        name = self.settings.vault_password_file
        return None if name is None else self._under_root(name)

    def tasks_folders(self) -> tuple[Path, ...]:
        """Return the folders with shared tasks files, the project's before the package's."""
        return self._folders("tasks")

    def tasks_file(self, name: str, beside: Path, position: Position | None = None) -> Path:
        """Return a tasks file: from the including file's folder, the project's tasks/ or the package's."""
        folders = tuple(dict.fromkeys((beside, *self.tasks_folders())))
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        known = {
            path.relative_to(folder).as_posix()
            for folder in folders[1:]
            for path in _yaml_files(folder, "**/*")
        }
        known |= {path.name for path in beside.glob("*.yml")}
        looked = f"looked in {', '.join(str(folder) for folder in folders)}"
        near = nearest(name, known)
        hint = f"{near}\n  {looked}" if near.startswith("did you mean") else looked
        raise InputError(f"no tasks file '{name}'", where=position, hint=hint)

    def playbooks(self) -> list[Found]:
        """Return the playbooks that can be run by name, sorted; the project's hide the package's."""
        return self._listed("playbooks")

    def playbook(self, name: str) -> Path:
        """Return the file of a playbook: a path, or a name in the project's or the package's playbooks/."""
        return self._file("playbook", name)

    def drills(self) -> list[Found]:
        """Return the drills that can be run by name, sorted; the project's hide the package's."""
        return self._listed("drills")

    def drill(self, name: str) -> Path:
        """Return the file of a drill: a path, or a name in the project's or the package's drills/."""
        return self._file("drill", name)

    def inventory(self, name: str | None = None) -> Path | str:
        """Return an inventory's file or folder, or a host list as it is; None asks for the project's own.

        `prod` is inventory/prod.yml, .yaml, .ini, or the folder or file inventory/prod; else what exists is a
        path; what contains a comma is a list of hosts.
        """
        if name is None:
            return self._own_inventory()
        if "," in name:
            return name
        path = expanded(name)
        if "/" not in name:
            found = self._in_inventory(name)
            if found is not None:
                return found
        if path.exists():
            return path
        if "/" in name:
            raise InputError(
                f"no inventory at '{name}'", hint="expected a file, a folder, or a list such as 'web1,web2,'"
            )
        folder = self.root / "inventory"
        known = (
            sorted({one.stem for one in folder.iterdir() if one.suffix in _INVENTORY})
            if folder.is_dir()
            else []
        )
        known = [one for one in known if one not in ("group_vars", "host_vars")]
        raise InputError(
            f"no inventory '{name}'",
            hint=f"{nearest(name, known)}\n  looked in {folder}; a single host has a comma: '{name},'",
        )

    def _own_inventory(self) -> Path | str:
        named = self.settings.inventory
        if named is not None:
            beside = self._under_root(named)
            return beside if "," not in named and beside.exists() else self.inventory(named)
        found = self._in_inventory("hosts")
        if found is None:
            raise InputError(
                "no inventory was named",
                hint=f"write -i NAME, an 'inventory:' in {self.root / SETTINGS_FILE}, "
                f"or the file {self.root / 'inventory' / 'hosts.yml'}",
            )
        return found

    def _in_inventory(self, name: str) -> Path | None:
        candidates = (self.root / "inventory" / f"{name}{ending}" for ending in _INVENTORY)
        return next((path for path in candidates if path.exists()), None)

    def _listed(self, kind: str) -> list[Found]:
        found: dict[str, Found] = {}
        for folder in self._folders(kind):
            origin = "package" if folder.parent == self.library else "project"
            for path in _yaml_files(folder, "*"):
                found.setdefault(path.stem, Found(path.stem, path, origin))
        return [found[name] for name in sorted(found)]

    def _file(self, what: str, name: str) -> Path:
        try:
            return self._looked_up(what, name)
        except OSError as error:  # a name that no file can have
            shown = name if len(name) <= 40 else f"{name[:40]}..."
            raise InputError(
                f"no {what} '{shown}': {error.strerror}", hint=f"expected the name or the path of a {what}"
            ) from error

    def _looked_up(self, what: str, name: str) -> Path:
        if ("/" in name or name.endswith(_YAML)) and Path(name).is_file():
            return Path(name)
        folders = self._folders(f"{what}s")
        for folder in folders:
            for path in (folder / name, *(folder / f"{name}{ending}" for ending in _YAML)):
                if path.suffix in _YAML and path.is_file():
                    return path
        hint = nearest(name, [one.name for one in self._listed(f"{what}s")])
        looked = ", ".join(str(folder) for folder in folders) or f"no {what}s/ folder"
        raise InputError(f"no {what} '{name}'", hint=f"{hint}\n  looked in {looked}")

    def _folders(self, kind: str) -> tuple[Path, ...]:
        both = dict.fromkeys((self.root / kind, self.library / kind))
        return tuple(folder for folder in both if folder.is_dir())

    def _under_root(self, written: str) -> Path:
        return self.root / expanded(written)


def _yaml_files(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.glob(pattern)) if path.suffix in _YAML and path.is_file())


def _read_settings(path: Path) -> Settings:
    from remedy.document import Map, load_file

    written = load_file(path)
    if written is None:
        return Settings()
    if not isinstance(written, Map):
        raise InputError(
            "the settings are no mapping",
            where=Position(str(path), 1),
            hint="expected lines such as 'forks: 20'",
        )
    known = Settings.__struct_fields__
    values: dict[str, Any] = {}
    for name, value in written.items():
        if name not in known:
            raise InputError(
                f"no setting '{name}'", where=written.keys_at.get(name), hint=nearest(name, known)
            )
        at = written.values_at.get(name)
        if name == "forks":
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(
                    f"'forks' is {value!r}", where=at, hint="expected a number of hosts, 1 or more"
                )
        elif not isinstance(value, str) or not value:
            raise InputError(f"'{name}' is {value!r}", where=at, hint="expected a text: a path or a name")
        values[name] = value if isinstance(value, int) else str(value)
    return Settings(**values)
