"""What a target module's half on the control machine may ask for, and how the engine calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from remedy.errors import RemedyError
from remedy.modules.registry import ModuleSpec
from remedy.modules.values import travelling


class Source(Protocol):
    """Files and templates of the control machine, as `prepare` sees them.

    file, text and render return {"id", "sha1", "size", "mode", "path"}; the content stays here until the host
    asks for the id. Each raises InputError for what cannot be read.
    """

    def file(self, path: str, *, decrypt: bool = False) -> dict[str, Any]:
        """Take a file, searched for beside the role and the playbook as Ansible does; `decrypt` opens a vault."""
        ...

    def text(self, text: str) -> dict[str, Any]:
        """Take a text as it is."""
        ...

    def render(self, path: str, **options: Any) -> dict[str, Any]:
        """Render a template file with the task's variables."""
        ...

    def tree(self, path: str, *, decrypt: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
        """List a folder: (relative path, "directory"|"file"|"link", what file() returns or {"target"})."""
        ...


def prepare(spec: ModuleSpec, params: Mapping[str, Any], source: Source) -> list[dict[str, Any]]:
    """Return what travels to the host: one set of parameters for each step the task becomes."""
    half = getattr(spec.loaded, "prepare", None)
    ready = {name: travelling(value) for name, value in params.items()}
    if half is None:
        return [ready]
    made = half(ready, source)
    steps = cast("list[dict[str, Any]]", made if isinstance(made, list) else [made])
    known = {param.name for param in spec.params}.union(spec.internal)
    for step in steps:
        if not spec.any_params and not known.issuperset(step):
            unknown = ", ".join(sorted(set(step) - known))
            raise RemedyError(f"module '{spec.name}' prepared parameters it does not declare: {unknown}")
    return steps
