"""Jinja as remedy uses it: sandboxed, strict, types kept, and every name asked for goes through one function.

A value that must stop a render is stopped where its *name* is resolved: an object that raises on use leaks
through `default()`, `is none`, `is sameas` and C functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.lexer import Lexer
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing as not_set

from remedy.template.missing import Missing
from remedy.template.plain import concat


class Names:
    """What a template can see: its own locals, over what `resolve` finds, over the globals."""

    __slots__ = ("globals", "locals", "resolve")

    def __init__(
        self,
        resolve: Callable[[str], Any] | None,
        globals: Mapping[str, Any],
        locals: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        self.resolve = resolve
        self.globals = globals
        self.locals = locals

    def find(self, name: str) -> Any:
        for mapping in self.locals:
            if name in mapping:
                return mapping[name]
        if self.resolve is not None and (value := self.resolve(name)) is not not_set:
            return value
        return self.globals.get(name, not_set)

    def over(self, *mappings: Mapping[str, Any]) -> Names:
        """Return the same names below further locals."""
        held = tuple(
            {k: v for k, v in mapping.items() if v is not not_set} for mapping in mappings if mapping
        )
        return Names(self.resolve, self.globals, held + self.locals)

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not not_set

    def __getitem__(self, name: str) -> Any:
        return self.find(name)


class NamesContext(Context):
    """A context whose names come from Names; Jinja's own would copy every variable into a dict first."""

    parent: Names  # type: ignore[assignment]

    def resolve_or_missing(self, key: str) -> Any:
        return self.vars[key] if key in self.vars else self.parent.find(key)

    def get_all(self) -> Names:  # type: ignore[override]
        return self.parent.over(self.vars)

    def derived(self, locals: dict[str, Any] | None = None) -> NamesContext:
        names = self.get_all().over(locals or {})
        context = NamesContext(self.environment, names, self.name, {})  # type: ignore[arg-type]
        context.eval_ctx = self.eval_ctx
        context.blocks.update((name, list(blocks)) for name, blocks in self.blocks.items())
        return context


class NamesTemplate(Template):
    """A template that renders over Names."""

    def new_context(
        self,
        vars: Any = None,
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,
    ) -> Context:
        names = vars if isinstance(vars, Names) else Names(None, self.globals, (vars,) if vars else ())
        if locals:
            names = names.over(locals)
        return NamesContext(self.environment, names, self.name, self.blocks)  # type: ignore[arg-type]

    def evaluate(self, names: Names) -> Any:
        """Return the value of the template."""
        return self.environment.concat(self.root_render_func(self.new_context(names)))


class _TypesKept(NativeCodeGenerator):
    """Emits constants with their type; Jinja's own makes texts of them, to be parsed again later."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return repr(concat(group))


class _YamlLexer(Lexer):
    """Keeps backslashes in texts inside {{ }}: YAML has unescaped them once already."""

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        inside = False
        for line, token, text in super().tokeniter(source, name, filename, state):
            if token in ("variable_begin", "variable_end"):
                inside = token == "variable_begin"
            yield line, token, text.replace("\\", "\\\\") if inside and token == "string" else text


@pass_context  # with a context Jinja evaluates nothing while compiling
def _as_it_is(context: Context, value: Any) -> Any:
    if isinstance(value, Missing):
        value._fail_with_undefined_error()
    return value


class RemedyEnvironment(ImmutableSandboxedEnvironment):
    """The environment of template files and conditions; each template text is compiled once."""

    code_generator_class = _TypesKept
    context_class = NamesContext
    template_class = NamesTemplate

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_blocks", True)
        super().__init__(undefined=Missing, optimized=False, finalize=_as_it_is, **options)

    concat = staticmethod(concat)

    def compile_text(self, source: str | nodes.Template) -> NamesTemplate:
        """Return the compiled template."""
        template = self.from_string(source)
        if not isinstance(template, NamesTemplate):
            raise TypeError("the environment makes templates of another class")
        return template


class YamlEnvironment(RemedyEnvironment):
    """The environment of templates that stand in YAML."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._yaml_lexer = _YamlLexer(self)

    @property
    def lexer(self) -> Lexer:
        return self._yaml_lexer
