"""The table of keywords: where each may stand and what it may say; a new keyword is a new line here.

A keyword of Ansible that is not in the table is refused by its name, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from msgspec import Struct

from remedy import modules
from remedy.document import Map
from remedy.errors import InputError, Position, nearest
from remedy.playbook import readers
from remedy.playbook.readers import Reader

PLAY, BLOCK, TASK, HANDLER = "play", "block", "task", "handler"
INCLUDE, IMPORT, APPLY = "include_tasks", "import_tasks", "apply"

_EVERYWHERE = (PLAY, BLOCK, TASK, HANDLER, INCLUDE, IMPORT)
_SHARED = (PLAY, BLOCK, TASK, HANDLER, IMPORT)
_TASKS = (TASK, HANDLER)
_LOOPS = (TASK, HANDLER, INCLUDE)
_CONDITIONAL = (BLOCK, TASK, HANDLER, INCLUDE, IMPORT)


class Keyword(Struct, frozen=True):
    """Where a keyword may stand and what reads its value; without a reader the parser takes it itself."""

    where: tuple[str, ...]
    read: Reader | None = None

    def allowed(self, owner: str) -> bool:
        """Say whether it may stand there; `apply` takes what a block shares with its tasks."""
        return owner in self.where or (owner == APPLY and BLOCK in self.where and self.read is not None)


KEYWORDS: Mapping[str, Keyword] = {
    # everywhere
    "name": Keyword(_EVERYWHERE, readers.text),
    "vars": Keyword(_EVERYWHERE, readers.variables),
    "tags": Keyword(_EVERYWHERE, readers.tags),
    "when": Keyword(_CONDITIONAL, readers.conditions),
    "become": Keyword(_SHARED, readers.flag),
    "become_user": Keyword(_SHARED, readers.text),
    "become_method": Keyword(_SHARED, readers.choice("sudo", "su", "doas", templates=True)),
    "become_flags": Keyword(_SHARED, readers.text),
    "become_exe": Keyword(_SHARED, readers.text),
    "ignore_errors": Keyword(_SHARED, readers.flag),
    "any_errors_fatal": Keyword(_SHARED, readers.flag),
    "check_mode": Keyword(_SHARED, readers.flag),
    "diff": Keyword(_SHARED, readers.flag),
    "no_log": Keyword(_EVERYWHERE, readers.flag),
    "timeout": Keyword(_SHARED, readers.number()),
    "environment": Keyword(_SHARED, readers.environment),
    "run_once": Keyword(_EVERYWHERE, readers.flag),
    "throttle": Keyword(_SHARED, readers.number()),
    "delegate_to": Keyword((BLOCK, TASK, HANDLER, IMPORT), readers.delegate),
    "collections": Keyword((PLAY,), readers.constants),  # accepted as in Ansible; remedy has no collections
    # a play
    "hosts": Keyword((PLAY,), readers.hosts),
    "runbook": Keyword((PLAY,)),
    "vars_files": Keyword((PLAY,), readers.variable_files),
    "serial": Keyword((PLAY,), readers.serial),
    "gather_facts": Keyword((PLAY,), readers.plain_flag),
    "max_fail_percentage": Keyword((PLAY,), readers.number(highest=100, whole=False)),
    "strategy": Keyword((PLAY,), readers.choice("linear", "host_pinned", others=("free", "debug"))),
    "force_handlers": Keyword((PLAY,), readers.plain_flag),
    "diagnose": Keyword((PLAY,)),
    "pre_tasks": Keyword((PLAY,)),
    "tasks": Keyword((PLAY,)),
    "post_tasks": Keyword((PLAY,)),
    "handlers": Keyword((PLAY,)),
    "verify": Keyword((PLAY,)),
    # a block
    "block": Keyword((BLOCK,)),
    "rescue": Keyword((BLOCK,)),
    "always": Keyword((BLOCK,)),
    # a task
    "action": Keyword(_TASKS),
    "args": Keyword((*_TASKS, INCLUDE, IMPORT)),
    "include_tasks": Keyword((INCLUDE,)),
    "import_tasks": Keyword((IMPORT,)),
    "register": Keyword(_TASKS, readers.identifier),
    "loop": Keyword(_LOOPS, readers.loop),
    "loop_control": Keyword(_LOOPS, readers.loop_control),
    "changed_when": Keyword(_TASKS, readers.conditions),
    "failed_when": Keyword(_TASKS, readers.conditions),
    "until": Keyword(_TASKS, readers.conditions),
    "retries": Keyword(_TASKS, readers.number()),
    "delay": Keyword(_TASKS, readers.number(whole=False)),
    "notify": Keyword(_TASKS, readers.texts),
    "listen": Keyword((HANDLER,), readers.constants),
}

_FILES = "put the role's tasks into a tasks file and use include_tasks"
_OUT = "take it out"

# Ansible's other keywords (ansible-core 2.19) and what stands where a module could; what to do instead.
_NOT_YET: Mapping[str, str] = {
    **dict.fromkeys(("async", "poll", "order", "debugger", "ignore_unreachable"), _OUT),
    **dict.fromkeys(("rescue_unreachable", "validate_argspec", "fact_path"), _OUT),
    "delegate_facts": "read the other host's facts from hostvars after a task on that host",
    **dict.fromkeys(("roles", "include_role", "import_role"), _FILES),
    "connection": "set the variable ansible_connection for the hosts",
    "remote_user": "set the variable ansible_user for the hosts",
    "port": "set the variable ansible_port for the hosts",
    "gather_subset": "run the module setup as a task",
    "gather_timeout": "run the module setup as a task",
    "import_playbook": "play the two playbooks one after the other",
    "include": "use include_tasks",
    "local_action": "write the module, and delegate_to: localhost",
    "module_defaults": "write the parameters in each task",
    "vars_prompt": "give the variable with -e",
}

_PREFIXES = ("ansible.builtin.", "ansible.legacy.")
_OWNERS = {PLAY: "a play", BLOCK: "a block", TASK: "a task", HANDLER: "a handler"}


def short(word: str) -> str:
    """Return a keyword's or module's name without Ansible's own prefix."""
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


def refuse_unsupported(word: str, position: Position | None) -> None:
    """Raise InputError for a keyword of Ansible that remedy does not have."""
    instead = "use 'loop'" if word.startswith("with_") else _NOT_YET.get(short(word))
    if instead is not None:
        message = f"'{word}' is a keyword of Ansible that remedy does not support yet"
        raise InputError(message, where=position, hint=instead)


def known(word: str, owner: str, position: Position | None) -> Keyword | None:
    """Return the keyword, None for a word that is none; one that `owner` cannot have is an InputError."""
    refuse_unsupported(word, position)
    keyword = KEYWORDS.get(word)
    if keyword is not None and not keyword.allowed(owner):
        places = readers.either([_OWNERS.get(place, place) for place in keyword.where])
        raise InputError(
            f"'{word}' cannot stand in {_OWNERS.get(owner, owner)}",
            where=position,
            hint=f"it belongs to {places}",
        )
    return keyword


def unknown(word: str, owner: str, position: Position | None) -> InputError:
    """Return the error for a word that is neither a keyword nor a module."""
    words = [name for name, keyword in KEYWORDS.items() if keyword.allowed(owner)]
    if owner in (PLAY, BLOCK):
        return InputError(
            f"no keyword '{word}' in {_OWNERS[owner]}", where=position, hint=nearest(word, words)
        )
    close = get_close_matches(word, [*words, "block", *modules.names()], n=1)
    return InputError(
        f"no module or keyword '{word}'",
        where=position,
        hint=f"did you mean '{close[0]}'?" if close else "`remedy doc` lists the modules",
    )


def read(node: Map, owner: str, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a node's keywords but `skip` and those the parser reads itself, in file order."""
    values: dict[str, Any] = {}
    for word, value in node.items():
        if word in skip:
            continue
        keyword = known(word, owner, node.keys_at.get(word))
        if keyword is None:
            raise unknown(word, owner, node.keys_at.get(word))
        if keyword.read is not None:
            values[word] = keyword.read(value, word, place(node, word))
    return values


def place(node: Map, word: str) -> Position:
    """Return where a key's value stands (an empty one: the key)."""
    at = node.values_at.get(word) if node.get(word) is not None else node.keys_at.get(word)
    return at or node.position or Position("")
