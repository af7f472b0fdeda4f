"""The report of a rehearsal in every form: JSON, JUnit XML, Markdown, a self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from remedy.drill.record import DrillReport
from remedy.drill.reports.html import as_html
from remedy.drill.reports.json import as_json
from remedy.drill.reports.junit import as_junit
from remedy.drill.reports.markdown import as_markdown
from remedy.errors import RemedyError

_FORMS: dict[str, tuple[str, Callable[[DrillReport], str]]] = {
    "json": ("drill.json", as_json),
    "junit": ("drill.xml", as_junit),
    "markdown": ("drill.md", as_markdown),
    "html": ("drill.html", as_html),
}


def written(report: DrillReport, shape: str) -> str:
    """Return the report as json, junit, markdown or html; it ends in a newline."""
    return _FORMS[shape][1](report)


def write_all(report: DrillReport, folder: Path) -> None:
    """Write drill.json, drill.xml, drill.md and drill.html into a folder, each as a whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, form in _FORMS.values():
            new = folder / f".{name}.{os.getpid()}"
            new.write_text(form(report), encoding="utf-8")
            new.replace(folder / name)
    except OSError as error:
        raise _trouble(error, folder) from error


def refuse_unwritable(folder: Path) -> None:
    """Make a folder for reports, and raise RemedyError where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _trouble(error, folder) from error


def _trouble(error: OSError, folder: Path) -> RemedyError:
    place = error.filename or folder
    return RemedyError(
        f"the drill's report cannot be written to {place}: {error.strerror or error}",
        hint="choose another folder with --report-dir",
    )


__all__ = ["as_html", "as_json", "as_junit", "as_markdown", "refuse_unwritable", "write_all", "written"]
