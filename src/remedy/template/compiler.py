"""Templates compiled once each: fifty hosts render the same texts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import FileSystemLoader, TemplateSyntaxError, nodes

from remedy.errors import InputError, Position
from remedy.secret import Secrets
from remedy.template.environment import NamesTemplate, RemedyEnvironment, YamlEnvironment
from remedy.template.filters import filters
from remedy.template.mentions import Mentions, mentions
from remedy.template.tests import TESTS
from remedy.template.trouble import syntax

T = TypeVar("T")
_MOST = 20_000  # a run has hundreds of texts; the bound is for a process that serves many runs


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How a template file is read: the parameters of Ansible's template module."""

    block_start_string: str = "{%"
    block_end_string: str = "%}"
    variable_start_string: str = "{{"
    variable_end_string: str = "}}"
    comment_start_string: str = "{#"
    comment_end_string: str = "#}"
    trim_blocks: bool = True
    lstrip_blocks: bool = False
    newline_sequence: str = "\n"


class Compiler:
    """Compiles and keeps templates; safe to share between threads."""

    def __init__(self, secrets: Secrets) -> None:
        self._filters = filters(secrets)
        self._plain = self._prepare(RemedyEnvironment())
        self._yaml = self._prepare(YamlEnvironment())
        self.globals: dict[str, Any] = dict(self._plain.globals)
        self._made: dict[Any, Any] = {}
        self._guard = threading.Lock()

    def yaml(self, text: str, where: Position | None) -> NamesTemplate:
        """Return the template of a text that stands in YAML."""
        return self._once(("yaml", str(text)), where, lambda: self._yaml.compile_text(str(text)))

    def expression(self, text: str, where: Position | None) -> NamesTemplate:
        """Return the template of one bare expression."""
        key = ("expression", str(text))
        return self._once(key, where, lambda: self._plain.compile_text(self._lone(str(text))))

    def file(
        self, text: str, where: Position | None, search: tuple[Path, ...], options: FileOptions
    ) -> NamesTemplate:
        """Return the template of a file's text, whose includes are looked for in `search`."""
        files = self._once(("files", search, options), where, lambda: self._files(search, options))
        return self._once(("file", text, search, options), where, lambda: files.compile_text(text))

    def mentions(self, text: str) -> Mentions:
        """Return what the template of a YAML text mentions."""
        where = getattr(text, "position", None)
        return self._once(("mentions", str(text)), where, lambda: mentions(self._yaml.parse(str(text))))

    def _lone(self, text: str) -> nodes.Template:
        tree = self._plain.parse("{{ (" + text + ") }}")
        output = tree.body[0] if len(tree.body) == 1 else None
        if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
            raise TemplateSyntaxError("expected one expression, without {{ }} around or inside", 1)
        return tree

    def _files(self, search: tuple[Path, ...], options: FileOptions) -> RemedyEnvironment:
        loader = FileSystemLoader([str(folder) for folder in search])
        return self._prepare(RemedyEnvironment(loader=loader, **asdict(options)))

    def _prepare(self, environment: RemedyEnvironment) -> RemedyEnvironment:
        environment.filters.update(self._filters)
        environment.tests.update(TESTS)
        environment.globals.pop("lipsum", None)
        return environment

    def _once(self, key: Any, where: Position | None, make: Callable[[], T]) -> T:
        known: T | None = self._made.get(key)
        if known is not None:
            return known
        try:
            made = make()
        except TemplateSyntaxError as error:
            names = {"filter": list(self._plain.filters), "test": list(self._plain.tests)}
            raise syntax(error, where, names) from error
        except (RecursionError, ValueError) as error:
            hint = "expected a template of ordinary size and plain delimiters"
            raise InputError(f"the template cannot be read: {error}", where=where, hint=hint) from error
        with self._guard:
            if len(self._made) >= _MOST:
                self._made.clear()
            kept: T = self._made.setdefault(key, made)
            return kept
