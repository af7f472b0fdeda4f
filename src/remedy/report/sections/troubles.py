"""What went wrong, could not be told or was not worked on, in words and with the place to look at."""

from __future__ import annotations

import re
from typing import Any

from remedy.errors import REASONS
from remedy.events import HostLeftOut, TaskDone
from remedy.report.evidence import told
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import count, cut, grouped, one_line, some, unique, whose

_OUTPUT_LINES = 3
_ITEMS = 5
_ROWS = 3
_EVIDENCE_LINES = 6
_FAILED_WHEN = "failed_when: "  # how the engine begins the reason
_ATTRIBUTE = re.compile(r"[.\[]['\"]?([A-Za-z_]\w*)")
_SAID = {"changed", "failed", "failed_when_result", "msg", "rc", "cause", "results", "censored"} | {
    f"std{name}{lines}" for name in ("out", "err") for lines in ("", "_lines")
}
_LONGEST = 200  # of a message that is told in a line
_CAUSES = {
    "disk_full": "the disk is full",
    "no_inodes": "no inodes are left",
    "read_only": "the file system is read-only",
    "permission": "not permitted",
    "timeout": "out of time",
}


def failures(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the failed tasks: host, task, file:line, message, and the end of what the command said."""
    if not story.failed:
        return
    hosts = unique(done.host for done in story.failed)
    sheet.heading(("bold red", f"FAILED: {count(len(story.failed), 'task')} on {count(len(hosts), 'host')}"))
    groups = grouped(
        story.failed, lambda done: (done.task, done.position, done.section, "\n".join(_message(done)))
    )
    for (task, position, section, message), same in groups:
        where = "" if section in ("tasks", "") else f"in {section}, "
        names = [whose(done.host, done.delegated) for done in same]
        sheet.line(*view.hosts(names), ("red", task), ("dim", f"  ({where}{position})"), indent=2)
        view.host_names(sheet, names, indent=6)
        sheet.paragraph(message, indent=6)
        for line in _output(same[0].result, view):
            sheet.verbatim(line, "dim", indent=6)
        for alike, those in grouped(same, lambda done: tuple(_judged(done, sheet.width - 8, view))):
            if alike and len(same) > len(those):
                sheet.line(*view.hosts([done.host for done in those]), indent=6)
            for line in alike:
                sheet.verbatim(line, indent=8)
    for number, stopped in grouped(story.not_run.items(), lambda pair: pair[1]):
        names = [name for name, _ in stopped]
        text = f"{count(number, 'task')} after it not run"
        sheet.line(*view.hosts(names), ("dim", text), indent=2)


def ignored(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the failures that do not count, a line each: what they kept from happening may still be missed."""
    if not story.ignored:
        return
    sheet.heading(f"IGNORED: {count(len(story.ignored), 'failed task')}")
    for (task, message), same in grouped(story.ignored, lambda done: (done.task, "; ".join(_message(done)))):
        names = unique(done.host for done in same)
        text = cut(" ".join(message.split()), _LONGEST)
        sheet.line(*view.hosts(names), ("yellow", task), ": ", text, indent=2)
        view.host_names(sheet, names, indent=6)


def _message(done: TaskDone) -> list[str]:
    if done.no_log:
        return ["(hidden: the task says no_log; run it on one host without it to see why)"]
    results = done.result.get("results")
    lines = []
    if isinstance(results, list):
        failed = [each for each in results if isinstance(each, dict) and each.get("failed")]
        for each in failed[:_ITEMS]:
            item = one_line(each.get(str(each.get("ansible_loop_var", "item"))))
            lines.append(f"item {item}: {each.get('msg', 'failed')}")
        lines += [f"... and {len(failed) - _ITEMS} more items"] if len(failed) > _ITEMS else []
    message = done.reason or str(done.result.get("msg", "")) or "failed, and did not say why"
    rc = done.result.get("rc")
    if isinstance(rc, int) and rc and str(rc) not in message:
        message += f" (rc {rc})"
    cause = _CAUSES.get(str(done.result.get("cause")))
    lines = lines or [message]
    return [*lines, f"cause: {cause}"] if cause else lines


def _judged(done: TaskDone, width: int, view: View) -> list[str]:
    """Return what `failed_when` saw: the values it names, in verify all of a result where it names none."""
    if done.no_log or not done.reason.startswith(_FAILED_WHEN):
        return []
    named = set(_ATTRIBUTE.findall(done.reason))
    values = {key: value for key, value in done.result.items() if key not in _SAID}
    chosen = {key: value for key, value in values.items() if key in named and value not in (None, [], {}, "")}
    if not chosen and done.section == "verify":
        chosen = values
    return told(chosen, width=width, most=view.most(_ROWS), longest=view.most(_EVIDENCE_LINES))


def _output(result: dict[str, Any], view: View) -> list[str]:
    """Return the end of stderr, or of stdout where stderr is empty."""
    for name in ("stderr", "stdout"):
        text = str(result.get(name) or "").rstrip()
        if text:
            lines = text.splitlines()
            most = _OUTPUT_LINES if view.verbosity <= 0 else 20 if view.verbosity == 1 else len(lines)
            more = f" (the last {most} of {len(lines)} lines)" if len(lines) > most else ""
            return [f"{name}{more}:", *(f"  {line}" for line in lines[-most:])]
    return []


def not_undone(sheet: Sheet, story: Story, view: View) -> None:
    """Tell which changes a rollback left as they are, and why."""
    if not story.not_undone:
        return
    sheet.heading(("bold yellow", f"NOT ROLLED BACK: {count(len(story.not_undone), 'change')}"))
    for (task, reason), same in grouped(story.not_undone, lambda done: (done.task, done.reason)):
        names = unique(done.host for done in same)
        sheet.line(*view.hosts(names), task, ": ", ("yellow", reason or "skipped"), indent=2)
        view.host_names(sheet, names, indent=6)


def unknown(sheet: Sheet, story: Story, view: View) -> None:
    """Tell which tasks check mode could not foresee, and what they hang on."""
    if not story.unknown:
        return
    sheet.heading(f"UNKNOWN: {count(len(story.unknown), 'task')} that check mode cannot foresee")
    for (task, reason), same in grouped(story.unknown, lambda done: (done.task, done.reason)):
        names = unique(done.host for done in same)
        sheet.line(*view.hosts(names), ("yellow", task), indent=2)
        view.host_names(sheet, names, indent=6)
        if reason:
            sheet.paragraph(reason, indent=6)


def trusted(sheet: Sheet, story: Story, view: View) -> None:
    """Tell which commands ran in diagnose because the runbook says that they only read."""
    if story.trusted:
        names = some([f"'{task}'" for task in story.trusted], view.most(6))
        sheet.heading("NOTE")
        sheet.line(f"Ran in diagnose because the runbook says 'reads: true': {names}", indent=2)


def warnings(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the warnings, each once."""
    if not story.warnings:
        return
    sheet.heading(("bold yellow", f"WARNINGS: {len(story.warnings)}"))
    for message, hosts in story.warnings.items():
        named = [host for host in hosts if host is not None]
        first, *rest = message.expandtabs(4).splitlines() or [""]
        sheet.line(*(view.hosts(named) if named else ()), first, indent=2)
        sheet.paragraph("\n".join(rest), indent=4) if rest else None


def left_out(sheet: Sheet, story: Story, view: View) -> None:
    """Tell which hosts were not worked on (any further), why, and what helps."""
    if not story.left_out:
        return
    sheet.heading(("bold red", f"LEFT OUT: {count(len(story.left_out), 'host')}"))
    groups = grouped(story.left_out.values(), lambda left: (left.reason, left.refused, _plain(left)))
    for (reason, refused, message), same in groups:
        names = [left.host for left in same]
        words = REASONS.get(reason, reason.replace("_", " "))
        mark = "refused, " if refused else ""
        sheet.line(*view.hosts(names), ("red", mark + words), ("dim", f"  [{reason}]"), indent=2)
        view.host_names(sheet, names, indent=6)
        if message and message != words:
            sheet.paragraph(message, indent=6)


def _plain(left: HostLeftOut) -> str:
    """Return the message without the host's name, which stands before it already."""
    return left.message.removeprefix(f"host {left.host}: ").strip()
