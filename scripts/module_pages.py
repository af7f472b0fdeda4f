"""Write docs/modules/: a page for each module and an index, from what `remedy doc` knows of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from remedy.agent.kinds import REQUIRED, Module, Param
from remedy.modules import ModuleSpec, find, names

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "modules"

_KINDS = {
    "probe": "**Reads only.** It never reports a change, and may stand in `diagnose`.",
    "resource": "**A state.** Check mode and `--diff` show what would change, a second run changes nothing, and "
    "`remedy rollback` brings back what was there before.",
    "sweep": "**Removes many items.** Check mode lists them, each with the reason; it needs approval "
    "and cannot be rolled back.",
    "action": "**Something that happens.** It is a change each time, proved afterwards, and cannot be rolled back.",
    "command": "**What you wrote.** Skipped in check mode; cannot be rolled back. `changed_when`, `failed_when`, "
    "`creates` and `removes` say what remedy cannot know. With `reads: true` it may stand in `diagnose`.",
    "control": "**Runs in remedy itself** and touches no host; it may stand in `diagnose`.",
}

_FAULT = (
    "**A fault.** It breaks the host on purpose, for drills, and `state: absent` undoes it without the run that made "
    "it. It runs only on hosts that an inventory file marks `drill: true`: a play that brings it to another one is "
    "refused (exit code 3) before any host is contacted."
)


def pages() -> dict[str, str]:
    """Return all pages: file name → content."""
    specs = [find(name) for name in names()]
    return {"README.md": _index(specs), **{f"{spec.name}.md": _page(spec) for spec in specs}}


def _kinds(spec: ModuleSpec) -> list[str]:
    return list(dict.fromkeys(each.kind for each in spec.classes)) or ["control"]


def _index(specs: list[ModuleSpec]) -> str:
    lines = [
        "# Modules",
        "",
        "The same text as `remedy doc NAME`. What the kinds promise stands in",
        "[Runbooks](../runbooks.md#kinds-of-modules). Modules that Ansible also has take Ansible's parameters, and",
        "`ansible.builtin.NAME` is the same module.",
        "",
        "| module | kind | from | |",
        "| --- | --- | --- | --- |",
    ]
    for spec in specs:
        origin = "remedy, for drills" if spec.fault else "remedy" if spec.own else "Ansible"
        kinds = ", ".join(_kinds(spec))
        lines.append(f"| [{spec.name}]({spec.name}.md) | {kinds} | {origin} | {_cell(spec.summary)} |")
    return "\n".join(lines) + "\n"


def _page(spec: ModuleSpec) -> str:
    parts = [f"# {spec.name}", spec.summary]
    if spec.aliases:
        parts.append("Also known as " + ", ".join(f"`{alias}`" for alias in spec.aliases) + ".")
    if spec.details:
        parts.append(spec.details)
    if spec.fault:
        parts.append(_FAULT)
    kinds = _kinds(spec)
    if len(kinds) > 1:
        parts.append("Its parameters choose what it is:\n\n" + "\n".join(f"- {_KINDS[kind]}" for kind in kinds))
    else:
        parts.append(_KINDS[kinds[0]])
    if any(each.disruptive for each in spec.classes):
        parts.append("What interrupts a service needs approval in a runbook.")
    own = [each for each in spec.classes if each.__module__ != Module.__module__]
    if any(each.attended for each in own):
        which = "It" if all(each.attended for each in own) else "Part of what it can do"
        parts.append(f"{which} is marked **!**: only by hand, with `--yes`; no [schedule](../schedules.md) may.")
    rows = ["## Parameters", "", "| parameter | type | default | |", "| --- | --- | --- | --- |"]
    known = {param.name for param in spec.params}
    rows += [_row(param, known) for param in spec.params]
    if spec.any_params:
        rows.append("| any other name | any | | A variable to set. |")
    parts.append("\n".join(rows))
    if spec.examples:
        parts.append(f"## Examples\n\n```yaml\n{spec.examples}\n```")
    return "\n\n".join(parts) + "\n"


def _row(param: Param, names: set[str]) -> str:
    kind = param.type if not param.elements else f"{param.type} of {param.elements}"
    default = "**required**" if param.default is REQUIRED else _default(param.default)
    more = [_cell(_sentence(param.help, names))]
    if param.choices:
        more.append("One of " + ", ".join(map(_value, param.choices)) + ".")
    if param.aliases:
        more.append("Also " + ", ".join(f"`{alias}`" for alias in param.aliases) + ".")
    return f"| `{param.name}` | {kind} | {default} | {' '.join(more)} |"


def _default(value: object) -> str:
    if value is None or value in ("", [], {}):
        return ""
    return _value(value)


def _value(value: object) -> str:
    plain = isinstance(value, str) and value.isprintable()
    return f"`{value if plain else json.dumps(value)}`"


def _sentence(text: str, names: set[str]) -> str:
    """Return a parameter's help as a sentence; one that begins with a parameter's name keeps it as it is."""
    start = text if text.split(" ", 1)[0] in names else text[:1].upper() + text[1:]
    return start if start.endswith((".", "!", "?", ")")) or not start else f"{start}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages, and remove those of modules that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
    sys.stderr.write(f"{len(wanted)} pages in {FOLDER}\n")


if __name__ == "__main__":
    main()
