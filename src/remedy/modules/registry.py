"""Which modules there are: found by scanning the folders, loaded one by one when a task names them."""

from __future__ import annotations

import ast
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from remedy.agent.kinds import Module, Param
from remedy.errors import InputError, Position, RemedyError, nearest

Place = Literal["target", "controller", "control", "raw"]

FAULTS = "remedy.modules.target.faults."
"""What the import names of modules begin with that break hosts on purpose."""

_MODULES = "remedy.modules."
_FOLDERS = ("target", "target.faults", "controller", "control")
_PREFIXES = ("ansible.builtin.", "ansible.legacy.", "remedy.")
_ALIASES = re.compile(r"^ALIASES = (\(.*\))$", re.MULTILINE)

# ansible-core 2.19: a name on this list that no folder holds is one remedy lacks, not a slip of the pen.
_ANSIBLE = """
add_host apt apt_key apt_repository assemble assert async_status blockinfile command copy cron
deb822_repository debconf debug dnf dnf5 dpkg_selections expect fail fetch file find gather_facts
get_url getent git group group_by hostname import_playbook import_role import_tasks include_role
include_tasks include_vars iptables known_hosts lineinfile meta mount_facts package package_facts
pause ping pip raw reboot replace rpm_key script service service_facts set_fact set_stats setup
shell slurp stat subversion systemd systemd_service sysvinit tempfile template unarchive uri user
validate_argument_spec wait_for wait_for_connection yum yum_repository
"""


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module as the engine and `remedy doc` see it.

    `place` says where it runs: target (shipped to the host), controller, control (in the engine) or raw (by
    the transport, without Python). `free_form` names the parameter that takes bare text. `internal` names the
    parameters that `prepare` or the engine add. `any_params` accepts every name (set_fact).
    """

    name: str
    place: Place
    summary: str
    details: str
    params: tuple[Param, ...]
    free_form: str | None
    examples: str
    internal: tuple[str, ...]
    aliases: tuple[str, ...]
    any_params: bool
    loaded: ModuleType = field(repr=False, compare=False)

    @property
    def import_name(self) -> str:
        """The Python name under which the host imports it, such as "remedy.modules.target.ping"."""
        return self.loaded.__name__

    @property
    def fault(self) -> bool:
        """Say whether it breaks hosts on purpose, for drills: its folder says so."""
        return self.import_name.startswith(FAULTS)

    @property
    def own(self) -> bool:
        """Say whether the module is remedy's, and not one that Ansible also has."""
        return self.name not in _ANSIBLE.split()

    @property
    def classes(self) -> tuple[type[Module], ...]:
        """The kinds that the module's parameters may choose from: its own, and those of its private parts."""
        found = list(vars(self.loaded).values())
        for part in [each for each in found if isinstance(each, ModuleType)]:
            # One that can run by itself (such as _ext4) is a module of its own, and no part.
            if part.__name__.startswith(_MODULES) and not hasattr(part, "kind"):
                found += vars(part).values()
        kinds = (each for each in found if isinstance(each, type) and issubclass(each, Module) and each.kind)
        return tuple(dict.fromkeys(kinds))

    @property
    def may_change(self) -> bool:
        """Say whether any parameters make it more than a Probe."""
        return self.place != "control" and any(each.kind != "probe" for each in self.classes)

    def kind(self, params: Mapping[str, Any]) -> type[Module]:
        """Return the class for these parameters; control modules have none (RemedyError)."""
        if self.place == "control":
            raise RemedyError(f"'{self.name}' runs in the engine and has no class")
        return cast("type[Module]", self.loaded.kind(params))

    def kind_name(self, params: Mapping[str, Any]) -> str:
        """Return probe, resource, sweep, action, command or control."""
        return "control" if self.place == "control" else self.kind(params).kind


def find(name: str, position: Position | None = None) -> ModuleSpec:
    """Return the module that a task names, by its short name or an alias, also behind ansible.builtin.

    `ansible.legacy.` and `remedy.` may stand there too. Raises InputError for a name that no folder holds.
    """
    short = name
    for prefix in _PREFIXES:
        short = short.removeprefix(prefix)
    places = _places()
    known = short if short in places else _aliases().get(short)
    if known is not None:
        return _load(known, places[known])
    if short in _ANSIBLE.split():
        raise InputError(
            f"remedy does not have Ansible's module '{short}' yet",
            where=position,
            hint="`remedy doc` lists the modules there are; `command` and `shell` run what is missing",
        )
    if "." in short:
        raise InputError(
            f"no module '{name}': remedy has no collections",
            where=position,
            hint=nearest(short.rpartition(".")[2], places),
        )
    raise InputError(f"no module '{name}'", where=position, hint=nearest(short, places))


def names() -> list[str]:
    """Return the names of all modules, sorted, without aliases."""
    return sorted(_places())


@cache
def _places() -> dict[str, str]:
    """The folder of each module; a file such as assert_.py holds the module whose name Python keeps for itself."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        package = import_module(f"remedy.modules.{folder}")
        for entry in pkgutil.iter_modules(package.__path__):
            if not entry.ispkg and not entry.name.startswith("_"):
                found[entry.name.rstrip("_")] = folder
    return found


@cache
def _aliases() -> dict[str, str]:
    """Read the aliases from the files' text: importing every module to learn them would cost every start."""
    found: dict[str, str] = {}
    for name, folder in _places().items():
        for match in _ALIASES.finditer(_path(name, folder).read_text(encoding="utf-8")):
            found.update(dict.fromkeys(ast.literal_eval(match[1]), name))
    return found


@cache
def _load(name: str, folder: str) -> ModuleSpec:
    module = import_module(f"remedy.modules.{folder}.{_path(name, folder).stem}")
    summary, _, details = (module.__doc__ or "").strip().partition("\n\n")
    return ModuleSpec(
        name=name,
        place=cast("Place", getattr(module, "PLACE", folder.partition(".")[0])),
        summary=" ".join(summary.split()),
        details=details.strip(),
        params=tuple(module.PARAMS),
        free_form=getattr(module, "FREE_FORM", None),
        examples=getattr(module, "EXAMPLES", "").strip("\n"),
        internal=tuple(getattr(module, "INTERNAL", ())),
        aliases=tuple(getattr(module, "ALIASES", ())),
        any_params=bool(getattr(module, "ANY_PARAMS", False)),
        loaded=module,
    )


def _path(name: str, folder: str) -> Path:
    home = Path(__file__).parent.joinpath(*folder.split("."))
    plain = home / f"{name}.py"
    return plain if plain.exists() else home / f"{name}_.py"
