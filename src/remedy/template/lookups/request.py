"""One template's way to lookups and functions, with its variables at hand."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from remedy.errors import InputError, RemedyError, nearest
from remedy.template.lookups import files, lists, variables
from remedy.template.missing import Missing
from remedy.template.plain import plain
from remedy.template.trouble import FilterError

if TYPE_CHECKING:
    from remedy.template.scope import Scope
    from remedy.template.templar import Templar

Lookup = Callable[..., list[Any]]
LOOKUPS: dict[str, Lookup] = {**files.LOOKUPS, **lists.LOOKUPS, **variables.LOOKUPS}

_REFUSED = {
    "url": "fetch it in a task with the uri or get_url module",
    "password": "make the password once, and keep it in a vaulted variable",
    "csvfile": "keep the data in YAML",
    "ini": "keep the data in YAML",
    "config": "remedy has settings of its own, in remedy.yml",
    "unvault": "a vaulted file is opened when it is read as variables or by the copy module",
    "inventory_hostnames": "use groups['NAME']",
}


class Request(Struct, frozen=True):
    """What a lookup may use: the variables of the template that asks."""

    templar: Templar
    scope: Scope

    def functions(self) -> Mapping[str, Any]:
        """Return the functions a template may call."""
        return {
            **self.templar.jinja_globals,
            "lookup": self.lookup,
            "query": self.query,
            "q": self.query,
            "now": now,
            "undef": undef,
        }

    def lookup(self, name: str, *terms: Any, **options: Any) -> Any:
        """Return one value: several texts joined by commas, as in Ansible; `wantlist=True` gives the list."""
        if options.pop("wantlist", False):
            return self.query(name, *terms, **options)
        found = self._found(name, terms, options)
        if found is None or not found:
            return found
        if len(found) == 1:
            return found[0]
        return ",".join(found) if all(isinstance(item, str) for item in found) else found

    def query(self, name: str, *terms: Any, **options: Any) -> Any:
        """Return the list of what was found."""
        found = self._found(name, terms, options)
        return [] if found is None else found

    def _found(self, name: str, terms: Sequence[Any], options: dict[str, Any]) -> list[Any] | None:
        on_error = options.pop("errors", "strict")
        if on_error not in ("strict", "warn", "ignore"):
            raise FilterError(
                f"lookup {name}: errors='{on_error}' is not known; expected strict, warn or ignore"
            )
        try:
            return run_lookup(self, name, terms, options)
        except (FilterError, RemedyError, OSError, ValueError) as error:
            if on_error == "strict":
                raise
            if on_error == "warn":
                self.templar.warn(f"lookup {name}: {error}")
            return None


def run_lookup(request: Request, name: str, terms: Sequence[Any], options: Mapping[str, Any]) -> list[Any]:
    """Return what a lookup finds for its terms."""
    short = str(name).removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    function = LOOKUPS.get(short)
    if function is None:
        known = short in _REFUSED
        message = f"the lookup '{name}' is not supported" if known else f"there is no lookup '{name}'"
        raise InputError(message, hint=_REFUSED.get(short) or nearest(short, LOOKUPS))
    for term in (*terms, *options.values()):
        if isinstance(term, Missing):
            term._fail_with_undefined_error()
    found: list[Any] = plain(function(request, *terms, **options))
    return found


def now(utc: bool = False, fmt: str | None = None) -> Any:
    """Return the control machine's time as a naive datetime, as Ansible does, or as a text."""
    moment = datetime.datetime.now(datetime.UTC if utc else None).replace(tzinfo=None)
    return moment.strftime(fmt) if fmt else moment


def undef(hint: str | None = None) -> Missing:
    """Return an undefined value that says why."""
    return Missing(hint=hint or "the value has to be set")
