"""The one who renders: texts of an author with the variables of a scope, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jinja2.utils import missing as not_set
from msgspec import Struct, field

from remedy.document import Text, Unsafe, VaultText
from remedy.document.files import read_text
from remedy.errors import InputError, Position, UndefinedVariable, VaultError
from remedy.secret import Secrets
from remedy.template.compiler import Compiler, FileOptions
from remedy.template.environment import Names, NamesTemplate
from remedy.template.lookups import Request, run_lookup
from remedy.template.mentions import Mentions
from remedy.template.missing import Broken, Missing
from remedy.template.plain import as_text, is_static, may_be_template, plain
from remedy.template.scope import NOT_SET, Layer, Scope, Variables
from remedy.template.signals import OMIT, Pending, Unknowable, UnknownValue
from remedy.template.trouble import place_of, rendering
from remedy.template.vault import Vault

_NOT_BOOLEAN = "a condition must be true or false; compare it, or use a filter: x | bool, x | length > 0"


class _Render(Struct):
    """One render from outside, with all it leads to: variables under way, and what must stop it."""

    under_way: list[tuple[int, str]] = field(default_factory=list)
    stop: BaseException | None = None


_RENDER: ContextVar[_Render | None] = ContextVar("render", default=None)


class Templar:
    """Renders what an author wrote; safe to share between threads.

    `secrets` learns what the vault holds; `warn` gets what `errors='warn'` of a lookup swallows.
    """

    def __init__(
        self,
        secrets: Secrets,
        vault: Vault | None = None,
        *,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.secrets = secrets
        self.vault = vault
        self.warn = warn or (lambda message: None)
        self._compiler = Compiler(secrets)
        self.jinja_globals = self._compiler.globals

    # scopes

    def scope(self, layers: Sequence[Layer], pending: Collection[str] = ()) -> Scope:
        """Return a scope over these layers, low to high."""
        return Scope(layers, pending, templar=self)

    def value(self, name: str, scope: Scope, default: Any = None) -> Any:
        """Return the rendered value of a variable as plain data, or the default where it is not set."""

        def work() -> Any:
            found = self.resolve(name, scope)
            return default if found is NOT_SET else plain(found)

        return self._whole(work, None, scope)

    # rendering

    def render(self, value: Any, scope: Scope, *, where: Position | None = None) -> Any:
        """Return a value with every template in it rendered: plain str, numbers, lists and dicts.

        A lone `{{ x }}` keeps the type of x; OMIT alone is returned, in a dict or list it goes. Raises
        Pending, UnknownValue, UndefinedVariable and other InputErrors with the place of the text.
        """
        if isinstance(value, Text) and not may_be_template(value):
            return str.__str__(value)
        return self._whole(lambda: self._render(value, scope, where), where, scope)

    def condition(self, expression: Any, scope: Scope, *, where: Position | None = None) -> bool:
        """Return what a bare expression such as `x is defined` says; all but true or false is an error."""
        place = _place(expression, where)
        if isinstance(expression, bool):
            return expression
        if not isinstance(expression, str) or not expression.strip():
            found = (
                "is empty" if expression is None or expression == "" else f"is {type(expression).__name__}"
            )
            raise InputError(
                f"the condition {found}", where=place, hint="expected an expression, true or false"
            )
        result = self._whole(lambda: self._expression(expression, scope, place), place, scope)
        if isinstance(result, bool):
            return result
        shown = "null" if result is None else f"of type {type(result).__name__}"
        raise InputError(
            f"the condition '{expression.strip()}' gave a value {shown}", where=place, hint=_NOT_BOOLEAN
        )

    def render_text(
        self,
        text: str,
        scope: Scope,
        *,
        where: Position | None = None,
        search: Sequence[Path] = (),
        options: FileOptions | None = None,
    ) -> str:
        """Return the text of a template file rendered; `search` are the folders of its includes."""

        def work() -> str:
            template = self._compiler.file(text, where, tuple(search), options or FileOptions())
            return as_text(self._evaluate(template, scope, where))

        result: str = self._whole(work, where, scope)
        newlines = len(text) - len(text.rstrip("\n")) - (len(result) - len(result.rstrip("\n")))
        return result + (options or FileOptions()).newline_sequence * newlines

    def render_file(self, path: Path, scope: Scope, *, search: Sequence[Path] = (), **options: Any) -> str:
        """Return a template file rendered; `options` are FileOptions, as in Ansible's template module."""
        text = read_text(path, vault=self.vault.open if self.vault else None)
        folders = (path.parent, *search)
        where = Position(str(path))
        return self.render_text(text, scope, where=where, search=folders, options=FileOptions(**options))

    def lookup(self, name: str, terms: Sequence[Any], scope: Scope, **options: Any) -> list[Any]:
        """Return what a lookup finds for terms that are rendered already (as `with_NAME` does)."""
        request = Request(self, scope)
        found: list[Any] = self._whole(lambda: run_lookup(request, name, terms, options), None, scope)
        return found

    def without_omitted(self, value: Any) -> Any:
        """Return a rendered value without what was omitted."""
        return plain(value)

    # questions about the text

    def is_template(self, value: Any) -> bool:
        """Tell whether a value holds a template or a vaulted text, however deep."""
        return not is_static(value)

    def touches(self, value: Any, scope: Scope | None = None) -> set[str]:
        """Return the root names the templates in a value mention; with a scope through its variables."""
        return set().union(*(found.names for found in self._mentions(value, scope, set())))

    def calls(self, value: Any, scope: Scope | None = None) -> set[str]:
        """Return what the templates in a value call: `now`, `lookup:pipe`, `filter:random`.

        A lookup whose name is computed is `lookup:?`. With a scope, also through its variables.
        """
        return set().union(*(found.calls for found in self._mentions(value, scope, set())))

    def condition_touches(self, expression: Any, scope: Scope | None = None) -> set[str]:
        """Return the root names a condition mentions."""
        return self.touches(_as_template(expression), scope)

    def _mentions(self, value: Any, scope: Scope | None, seen: set[str]) -> Iterable[Mentions]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                yield from self._mentions(item, scope, seen)
        elif isinstance(value, Text) and may_be_template(value):
            found = self._compiler.mentions(value)
            yield found
            for name in found.names - seen if scope is not None else ():
                seen.add(name)
                yield from self._mentions(scope.raw(name), scope, seen)  # type: ignore[union-attr]

    # what templates reach

    def resolve(self, name: str, scope: Scope) -> Any:
        """Return the value of a variable as a template sees it, NOT_SET where nobody set it.

        A value that could not be made is a Missing or Broken object, which raises when it is used.
        """
        if name == "omit":
            return OMIT
        if scope.is_pending(name):
            self.touch(name)
        layer = scope.layer_of(name)
        if layer is None:
            return Variables(scope) if name == "vars" else NOT_SET
        ready, value = layer.ready(name)
        if ready:
            return value
        raw = layer.values[name]
        if isinstance(raw, Unknowable):
            self._stop(UnknownValue(raw.reason, name))
        return self._variable(name, raw, scope)

    def touch(self, name: str) -> None:
        """Stop the render: it needs a value that is on its way."""
        self._stop(Pending(name))

    def _stop(self, signal: BaseException) -> None:
        render = _RENDER.get()
        if render is not None and render.stop is None:
            render.stop = signal
        raise signal

    def _variable(self, name: str, raw: Any, scope: Scope) -> Any:
        render = _RENDER.get() or _Render()
        step = (id(scope), name)
        if step in render.under_way:
            names = [known for _, known in render.under_way[render.under_way.index(step) :]]
            message = f"the variable '{name}' refers to itself: {' → '.join([*names, name])}"
            place = raw.position if isinstance(raw, Text) else None
            raise InputError(message, where=place, hint="give one of them a name of its own")
        token = _RENDER.set(render)
        render.under_way.append(step)
        try:
            return self._lenient(raw, scope)
        finally:
            render.under_way.pop()
            _RENDER.reset(token)

    def _lenient(self, raw: Any, scope: Scope) -> Any:
        """Render a variable; what fails in it fails only for who uses that part."""
        if isinstance(raw, Mapping):
            made = ((key, self._lenient(item, scope)) for key, item in raw.items())
            return {str(key): item for key, item in made if item is not OMIT}
        if isinstance(raw, list | tuple):
            return [item for item in (self._lenient(item, scope) for item in raw) if item is not OMIT]
        try:
            return self._render(raw, scope, None)
        except UndefinedVariable as error:
            return Missing.because(error)
        except InputError as error:
            return Broken.by(error)

    # the work itself

    def _render(self, value: Any, scope: Scope, where: Position | None) -> Any:
        if isinstance(value, Text):
            return self._text(value, scope, where)
        if isinstance(value, VaultText):
            return self._text(self._decrypted(value), scope, where)
        if isinstance(value, Unsafe) or type(value) is str:
            return str.__str__(value)
        if isinstance(value, Mapping) and not isinstance(value, Variables):
            items = ((key, self._render(item, scope, where)) for key, item in value.items())
            return {str.__str__(key) if isinstance(key, str) else key: v for key, v in items if v is not OMIT}
        if isinstance(value, list | tuple):
            return [item for item in (self._render(item, scope, where) for item in value) if item is not OMIT]
        return plain(value)

    def _text(self, text: Text, scope: Scope, where: Position | None) -> Any:
        if not may_be_template(text):
            return str.__str__(text)
        place = text.position or where
        result = self._evaluate(self._compiler.yaml(text, place), scope, place)
        if isinstance(result, str) and text.endswith("\n"):
            result += "\n" * (len(text) - len(text.rstrip("\n")) - (len(result) - len(result.rstrip("\n"))))
        return result

    def _evaluate(self, template: NamesTemplate, scope: Scope, where: Position | None) -> Any:
        def find(name: str) -> Any:
            value = self.resolve(name, scope)
            return not_set if value is NOT_SET else value

        try:
            return plain(template.evaluate(Names(find, Request(self, scope).functions())))
        except Exception as error:
            raise rendering(error, place_of(error, where), scope.names()) from error

    def _expression(self, expression: str, scope: Scope, where: Position | None) -> Any:
        whole = expression.strip()
        if whole.startswith(("{{", "{%")):
            return self._templated_condition(whole, scope, where)
        return self._evaluate(self._compiler.expression(whole, where), scope, where)

    def _templated_condition(self, whole: str, scope: Scope, where: Position | None) -> Any:
        result = self._evaluate(self._compiler.yaml(whole, where), scope, where)
        name = whole.removeprefix("{{").removesuffix("}}").strip()
        written = scope.raw(name) if name.isidentifier() else None
        if isinstance(written, Text) and not may_be_template(written) and written.strip():
            return self._evaluate(self._compiler.expression(written.strip(), where), scope, where)
        return result

    def _decrypted(self, text: VaultText) -> Text:
        if self.vault is None:
            raise VaultError(
                "the value is encrypted, and no vault password was given",
                where=text.position,
                hint="give one with --vault-password-file or --ask-vault-pass",
            )
        found = self.vault.reveal(text, text.position)
        self.secrets.add(found)
        self.secrets.add(json.dumps(found)[1:-1])  # as it stands inside JSON
        return Text(found, text.position)

    def _whole(self, work: Callable[[], Any], where: Position | None, scope: Scope) -> Any:
        """Do a render from outside; a name it touched that is on its way comes before how it ended."""
        render = _Render()
        token = _RENDER.set(render)
        try:
            result = work()
        except Exception as error:
            if render.stop is not None:
                raise render.stop from None
            raise rendering(error, where, scope.names()) from error
        finally:
            _RENDER.reset(token)
        if render.stop is not None:
            raise render.stop
        return result


def _place(value: Any, where: Position | None) -> Position | None:
    return value.position or where if isinstance(value, Text) else where


def _as_template(expression: Any) -> Any:
    if not isinstance(expression, str) or expression.strip().startswith(("{{", "{%")):
        return expression
    return Text("{{ " + expression + " }}", expression.position if isinstance(expression, Text) else None)
