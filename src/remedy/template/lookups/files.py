"""Lookups in files and programs of the control machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remedy.document.files import read_text
from remedy.errors import InputError
from remedy.home import expanded
from remedy.template.trouble import FilterError

if TYPE_CHECKING:
    from remedy.template.lookups.request import Request

DEADLINE = 300.0
"""Seconds that a program of `pipe` and `lines` may take."""


def folders(request: Request) -> list[Path]:
    """Return where relative names are looked for: `ansible_search_path`, else role, playbook and cwd."""
    given = request.scope.raw("ansible_search_path")
    if isinstance(given, list):
        return [Path(str(folder)) for folder in given]
    known = (request.scope.raw(name) for name in ("role_path", "playbook_dir"))
    return [*(Path(str(folder)) for folder in known if folder), Path.cwd()]


def _candidates(request: Request, name: str, kind: str) -> Iterator[Path]:
    try:
        path = expanded(name)
    except InputError as error:
        raise FilterError(error.message) from None
    if path.is_absolute():
        yield path
        return
    for folder in folders(request):
        yield folder / kind / path
        yield folder / path


def _find(request: Request, lookup: str, name: Any, kind: str) -> Path:
    tried = list(_candidates(request, str(name), kind))
    for path in tried:
        if path.is_file():
            return path
    where = ", ".join(str(path.parent) for path in tried)
    raise FilterError(f"lookup {lookup}: there is no file '{name}'; looked in {where}")


def file(request: Request, *names: Any, lstrip: bool = False, rstrip: bool = True) -> list[Any]:
    vault = request.templar.vault
    found = []
    for name in names:
        text = read_text(_find(request, "file", name, "files"), vault=vault.open if vault else None)
        text = text.lstrip() if lstrip else text
        found.append(text.rstrip() if rstrip else text)
    return found


def template(request: Request, *names: Any, **options: Any) -> list[Any]:
    variables = options.pop("template_vars", {})
    options.pop("convert_data", None)  # the text is never parsed
    scope = request.scope.with_values("template_vars", variables) if variables else request.scope
    search = [each / "templates" for each in folders(request)]
    return [
        request.templar.render_file(
            _find(request, "template", name, "templates"), scope, search=search, **options
        )
        for name in names
    ]


def fileglob(request: Request, *patterns: Any) -> list[Any]:
    found: list[str] = []
    for pattern in patterns:
        for path in _candidates(request, str(pattern), "files"):
            matches = sorted(match for match in glob(str(path)) if Path(match).is_file())  # noqa: PTH207
            found += matches
            if matches:
                break
    return found


def first_found(request: Request, *terms: Any, skip: bool = False, **options: Any) -> list[Any]:
    """Return the first of several files that exists."""
    names: list[str] = []
    for term in [*terms, options] if options else terms:
        if isinstance(term, Mapping):
            skip = skip or bool(term.get("skip"))
            paths = _several(term.get("paths")) or [""]
            names += [str(Path(path) / name) for name in _several(term.get("files")) for path in paths]
        else:
            names += _several(term)
    for name in names:
        for kind in ("files", "templates", "vars", "tasks"):
            for path in _candidates(request, name, kind):
                if path.is_file():
                    return [str(path)]
    if skip:
        return []
    raise FilterError(f"lookup first_found: none of these exists: {', '.join(names) or 'no file was named'}")


def _several(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.replace(";", ",").split(",") if part.strip()]
    return [str(item) for item in value]


def _output(request: Request, lookup: str, command: Any) -> str:
    folder = request.scope.raw("playbook_dir")
    try:
        done = subprocess.run(
            str(command),
            shell=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE,
            cwd=str(folder) if folder else None,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FilterError(f"lookup {lookup}: '{command}' did not end within {DEADLINE:g} s") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise FilterError(f"lookup {lookup}: '{command}' ended with exit status {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace")


def pipe(request: Request, *commands: Any) -> list[Any]:
    return [_output(request, "pipe", command).rstrip() for command in commands]


def lines(request: Request, *commands: Any) -> list[Any]:
    return [line.rstrip() for command in commands for line in _output(request, "lines", command).splitlines()]


LOOKUPS = {
    "file": file,
    "template": template,
    "fileglob": fileglob,
    "first_found": first_found,
    "pipe": pipe,
    "lines": lines,
}
