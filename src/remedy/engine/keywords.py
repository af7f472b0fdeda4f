"""What a task's keywords come to, once play, blocks and includes have had their say."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from remedy.errors import InputError, Position
from remedy.playbook import Common
from remedy.template import Scope, Templar, Variables
from remedy.transport import Identity, TargetDefaults

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_INHERITED = (
    "ignore_errors",
    "check_mode",
    "no_log",
    "timeout",
    "any_errors_fatal",
    "diff",
    "run_once",
    "throttle",
    "delegate_to",
)
_TOGETHER = ("run_once", "throttle", "delegate_to")


class Keywords(Struct, frozen=True):
    """The effective keywords of one task, still with their templates; inner values win, `when` adds up."""

    when: tuple[Any, ...]
    tags: frozenset[str]
    become: dict[str, Any]
    environment: tuple[Any, ...]
    values: dict[str, Any]

    @classmethod
    def of(cls, task: Common, ancestors: tuple[Common, ...]) -> Keywords:
        """Collect the keywords of a task below its ancestors (outermost first)."""
        when: list[Any] = []
        tags: set[str] = set()
        become: dict[str, Any] = {}
        environment: list[Any] = []
        values: dict[str, Any] = {}
        for node in (*ancestors, task):
            when.extend(node.when)
            tags.update(node.tags)
            environment.extend([node.environment] if node.environment else [])
            for word in ("become", "user", "method", "flags", "exe"):
                value = getattr(node.become, word)
                if value is not None:
                    become[word] = value
            for word in _INHERITED:
                value = getattr(node, word)
                if value is not None:
                    values[word] = value
        return cls(tuple(when), frozenset(tags), become, tuple(environment), values)

    @property
    def together(self) -> bool:
        """Say whether a task concerns more hosts than its own: all of the batch come to it before it begins."""
        return any(self.values.get(word) not in (None, False, 0, "") for word in _TOGETHER)

    def flag(self, word: str, default: bool, templar: Templar, scope: Scope, task: Common) -> bool:
        """Return a yes-or-no keyword, rendered."""
        value = self.values.get(word)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        return templar.condition(value, scope, where=task.position)


def number_of(word: str, written: Any, templar: Templar, scope: Scope, where: Position) -> float:
    """Return a keyword that is a number of 0 or more, rendered."""
    value = templar.render(written, scope, where=where)
    try:
        number = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InputError(
            f"'{word}' is {value!r}", where=_place(written, where), hint="expected a number, 0 or more"
        )
    return number


def list_of(written: Any, templar: Templar, scope: Scope, where: Position) -> list[Any]:
    """Return what a loop goes through."""
    values = templar.render(written, scope, where=where)
    if not isinstance(values, list | tuple):
        raise InputError(
            f"'loop' is a {type(values).__name__}, expected a list",
            where=_place(written, where),
            hint="a mapping becomes a list with `| dict2items`",
        )
    return list(values)


def environment_of(words: Keywords, templar: Templar, scope: Scope, where: Position) -> dict[str, str]:
    """Return the environment a task adds, the innermost mapping winning."""
    merged: dict[str, str] = {}
    for part in words.environment:
        rendered = templar.render(part, scope, where=where)
        for mapping in rendered if isinstance(rendered, list) else [rendered]:
            if mapping is not None and not isinstance(mapping, dict):
                raise InputError(
                    f"'environment' is a {type(mapping).__name__}",
                    where=_place(part, where),
                    hint="expected a mapping, or a list of mappings",
                )
            merged.update({str(name): str(value) for name, value in (mapping or {}).items()})
    return merged


def _place(written: Any, where: Position) -> Position:
    return getattr(written, "position", None) or where


def identity_of(
    host: str,
    words: Keywords,
    templar: Templar,
    scope: Scope,
    defaults: TargetDefaults,
    where: Position,
    *,
    connection: Scope | None = None,
) -> Identity | None:
    """Return whom a task runs as, None for the login user; connection variables win over keywords, as in Ansible.

    `connection` has these variables where the task is delegated; the keywords are rendered for its own host.
    """
    written = {word: templar.render(value, scope, where=where) for word, value in words.become.items()}
    # Nothing that a fact module may bring decides who we are: these variables need not wait for it.
    settled = Variables(templar.scope((connection or scope).layers))
    become = written.get("become", defaults.become)
    if not isinstance(become, bool):
        word = str(become).strip().lower()
        if word not in _YES and word not in _NO:
            at = _place(words.become["become"], where)
            raise InputError(f"'become' is {become!r}", where=at, hint="expected true or false")
        become = word in _YES
    return Identity.choose(
        host,
        settled,
        become=become,
        user=written.get("user") or defaults.become_user,
        method=written.get("method") or defaults.become_method,
        password=defaults.become_password,
        exe=written.get("exe"),
        flags=written.get("flags"),
    )
