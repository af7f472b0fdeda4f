"""A templar, and scopes made from YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remedy.document import Text, load_yaml
from remedy.secret import Secrets
from remedy.template import Layer, Scope, Templar

Render = Callable[..., Any]


@pytest.fixture
def templar() -> Templar:
    return Templar(Secrets())


@pytest.fixture
def scope_of(templar: Templar) -> Callable[..., Scope]:
    """Make a scope from YAML, with names that are pending."""

    def make(text: str = "", pending: tuple[str, ...] = (), **data: Any) -> Scope:
        layers = [Layer("vars", load_yaml(text, "vars.yml") or {}), Layer("data", data, data=True)]
        return templar.scope(layers, pending=pending)

    return make


@pytest.fixture
def render(templar: Templar, scope_of: Callable[..., Scope]) -> Render:
    """Render one text with variables from YAML, and data from a host as keyword arguments."""

    def work(template: Any, text: str = "", **data: Any) -> Any:
        value = Text(template) if isinstance(template, str) else template
        return templar.render(value, scope_of(text, **data))

    return work
