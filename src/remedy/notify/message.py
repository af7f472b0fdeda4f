"""What is told of a run: a title that says all at a glance, and a text of a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from remedy.report.text import count, cut, duration, safe, size

KINDS = ("failed", "refused", "unreachable", "findings", "changed", "skipped", "ok")
"""What a message may be about; one may be of several kinds."""

_OF_CODE = {0: (), 3: ("refused",), 4: ("unreachable",), 10: ("findings",), 11: ()}
_FAILED = ("failed",)  # 1, 2, 5, 99: what was to be done was not
_WIDEST = 160  # characters of a line
_LINES = 20  # of each section
_ROOM = str.maketrans("<>", "‹›")  # `<!channel>` and `<at user_id="all">` wake everybody


class Message(Struct, frozen=True, kw_only=True):
    """What is told; `kinds` are of KINDS, `level` is success, info, warning or failure."""

    title: str
    text: str
    kinds: frozenset[str]
    level: str


def of_run(document: Mapping[str, Any], *, schedule: str | None = None, due: str | None = None) -> Message:
    """Return what is told of a run, from its report (`remedy.report/1`); `due` is the time it was scheduled for."""
    run, hosts = document["run"], document["hosts"]
    findings, changes = document["findings"], document["changes"]
    still = [each for each in findings if not each["resolved"]]
    made = [] if run["mode"] == "check" else changes
    kinds = {*_OF_CODE.get(run["exit_code"], _FAILED)}
    kinds |= {"findings"} if still and run["mode"] != "check" else set()
    kinds |= {"changed"} if made else set()
    name = _line(Path(str(run["playbook"])).stem)
    where = _line(str(run["inventory"]))
    said = ", ".join(_said(run, hosts, still, len(made)))
    lines = [f"remedy {_verb(run['mode'])} {name} -i {where}: {_outcome(run)}"]
    if schedule is not None:
        lines.append(f"schedule {_line(schedule)}" + (f", due {due}" if due else ""))
    took = "" if run["seconds"] is None else f", {duration(run['seconds'])}"
    lines += [f"run {run['id']}, started {run['started']}{took}", ""]
    if run.get("error"):
        lines += [*map(_line, str(run["error"]).split("\n")), ""]
    freed = sum(each["bytes_freed"] or 0 for each in made)
    lines += _section("Hosts", (_host(name, host) for name, host in hosts.items() if _ill(host)))
    lines += _section("Found", map(_finding, findings))
    title = "Changed" if made or not changes else "Would change"
    lines += _section(title + (f", {size(freed)} freed" if freed else ""), map(_change, changes))
    lines.append(f"All of it: remedy history {run['id']}")
    return Message(
        title=f"{_line(schedule) if schedule else name} on {where}: {said}",
        text="\n".join(lines),
        kinds=frozenset(kinds or {"ok"}),
        level=_level(kinds, still),
    )


def without_run(schedule: str, due: str | None, reason: str, *, exit_code: int | None = None) -> Message:
    """Return what is told of a scheduled time at which nothing ran; `exit_code` None: it was skipped."""
    kind = "skipped" if exit_code is None else (*_OF_CODE.get(exit_code, _FAILED), "skipped")[0]
    name = _line(schedule)
    word = f"{kind} (exit code {exit_code})" if exit_code is not None else kind
    lines = [
        f"schedule {name}: {word}",
        *([f"due {due}"] if due else []),
        "",
        *map(_line, reason.split("\n")),
    ]
    return Message(
        title=f"{name}: {kind}: {cut(_line(reason), 80)}",
        text="\n".join([*lines, "", f"Its times: remedy schedule show {name}"]),
        kinds=frozenset({kind}),
        level="warning" if exit_code is None else "failure",
    )


def _level(kinds: set[str], still: list[Any]) -> str:
    if kinds & {"failed", "refused", "unreachable"} or any(
        each["severity"] in ("P0", "P1") for each in still
    ):
        return "failure"
    if "findings" in kinds:
        return "warning"
    return "info" if "changed" in kinds else "success"


def _said(run: Any, hosts: Mapping[str, Any], still: list[Any], made: int) -> Iterator[str]:
    failed = sum(bool(host["failed"]) for host in hosts.values())
    lost = sum(bool(host["unreachable"] or host["reason"]) for host in hosts.values())
    said = [
        *([f"{count(failed, 'host')} failed"] if failed else []),
        *([f"{count(lost, 'host')} could not be worked on"] if lost else []),
        *([f"{count(len(still), 'finding')} open"] if still else []),
        *([count(made, "change")] if made else []),
    ]
    code = run["exit_code"]
    if not said or (code not in (0, 2, 4, 10)):
        said.insert(0, _outcome(run) if code else f"{count(len(hosts), 'host')} healthy")
    yield from said


def _outcome(run: Mapping[str, Any]) -> str:
    words = str(run["outcome"] or "cut off").replace("_", " ")
    return words if run["exit_code"] in (None, 0) else f"{words} (exit code {run['exit_code']})"


def _verb(mode: Any) -> str:
    return {"diagnose": "diagnose", "check": "play --check"}.get(str(mode), "play")


def _ill(host: Mapping[str, Any]) -> bool:
    return bool(host["failed"] or host["unreachable"] or host["reason"])


def _host(name: str, host: Mapping[str, Any]) -> str:
    if host["reason"] or host["unreachable"]:
        return f"{name}: {host['message'] or host['reason'] or 'unreachable'}"
    return f"{name}: {count(host['failed'], 'task')} failed"


def _finding(finding: Mapping[str, Any]) -> str:
    end = {True: "resolved", False: "open", None: "open"}[finding["resolved"]]
    return f"{finding['severity']} {finding['host']} {finding['id']}: {finding['title']} ({end})"


def _change(change: Mapping[str, Any]) -> str:
    freed = f", {size(change['bytes_freed'])} freed" if change["bytes_freed"] else ""
    return f"{change['host']}: {change['task']}: {change['object']}{freed}"


def _section(title: str, rows: Iterable[str]) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    more = [f"  ... and {len(rows) - _LINES} more"] if len(rows) > _LINES else []
    return [f"{title}:", *(f"  {_line(row)}" for row in rows[:_LINES]), *more, ""]


def _line(text: str) -> str:
    """Return a text from wherever as one line that steers no terminal and calls nobody."""
    return cut(safe(text).translate(_ROOM), _WIDEST)
