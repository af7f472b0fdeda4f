"""Providers by their names; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.drill.providers.base import Provider
from remedy.errors import InputError, nearest
from remedy.lab.tools import Say, quiet
from remedy.project import Project
from remedy.template import Vault


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line says to a provider; `inventory` is for those that do not make hosts."""

    project: Project
    inventory: Path | None = None
    limit: str | None = None
    vault: Vault | None = None
    say: Say = quiet


def make(name: str, settings: Settings) -> Provider:
    """Return a provider; InputError for a name that there is not, or what it lacks."""
    return _known(name)[0](settings)


def resume(name: str, remembered: Mapping[str, Any]) -> Provider | None:
    """Return a provider that stands where a killed process stood; None where nothing of it is left."""
    return _known(name)[1](remembered)


_Both = tuple[Callable[[Settings], Provider], Callable[[Mapping[str, Any]], "Provider | None"]]


def _known(name: str) -> _Both:
    if name not in _PROVIDERS:
        raise InputError(f"no provider '{name}'", hint=nearest(name, _PROVIDERS))
    return _PROVIDERS[name]()


def _lab() -> _Both:
    from remedy.drill.providers.lab import LabProvider

    return (lambda settings: LabProvider(settings.say)), LabProvider.resume


def _static() -> _Both:
    from remedy.drill.providers.static import StaticProvider

    def of(settings: Settings) -> Provider:
        if settings.inventory is None:
            raise InputError(
                "the provider 'static' needs an inventory",
                hint="write -i NAME; its hosts must be marked `drill: true`",
            )
        return StaticProvider(settings.inventory, settings.limit, settings.vault)

    return of, StaticProvider.resume


def _vagrant() -> _Both:
    from remedy.drill.providers.vagrant import Vagrant, find_vagrantfile

    def of(settings: Settings) -> Provider:
        if settings.inventory is not None:
            raise InputError("the provider 'vagrant' makes its own hosts", hint="leave out -i")
        return Vagrant(find_vagrantfile(settings.project), settings.say)

    return of, Vagrant.resume


_PROVIDERS: dict[str, Callable[[], _Both]] = {"lab": _lab, "static": _static, "vagrant": _vagrant}
NAMES = tuple(_PROVIDERS)
"""The words that --provider takes."""
