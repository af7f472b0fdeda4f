"""The end: Ansible's recap, how it went as a whole, and the way back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby

from remedy.events import Changed, RunEnded
from remedy.report.recap import Counts
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import cells, count, duration, pad, safe

_OUTCOMES = {
    "ok": ("bold green", "OK"),
    "failed": ("bold red", "FAILED"),
    "refused": ("bold red", "REFUSED"),
    "unreachable": ("bold red", "UNREACHABLE"),
    "interrupted": ("bold red", "INTERRUPTED"),
    "findings": ("bold yellow", "FINDINGS"),
    "changes_pending": ("bold yellow", "CHANGES PENDING"),
    "error": ("bold red", "ERROR"),
}


_ALWAYS = ("ok", "changed", "unreachable", "failed")


def ending(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the recap, the outcome, and how to roll back."""
    counts = story.recap.hosts
    if counts:
        sheet.heading("RECAP")
        _recap(sheet, counts)
    ended, started = story.ended, story.started
    if ended is None or started is None:
        return
    style, words = _OUTCOMES.get(ended.outcome, ("bold", ended.outcome.upper()))
    code = f" (exit code {ended.exit_code})" if ended.exit_code else ""
    details = "; ".join(_details(story, ended))
    sheet.heading((style, words + code), ("", f": {details}" if details else ""))
    trips = sum(each.round_trips for each in story.trips.values())
    cost = f", {count(trips, 'round trip')} to {count(len(story.trips), 'host')}" if story.trips else ""
    sheet.line(f"{duration(ended.seconds)}{cost}, run {ended.run}")
    _way_back(sheet, story, ended)


def _recap(sheet: Sheet, counts: Mapping[str, Counts]) -> None:
    """Tell each host's numbers in Ansible's columns; where the paper is narrow they come closer, and some go."""
    names = [safe(name) for name in counts]
    widest = max(map(cells, names))
    rows = [str(each) for each in counts.values()]
    if _too_wide(sheet, widest, rows):
        rows = _columns(rows, every=True)
    if _too_wide(sheet, widest, rows):
        rows = _columns(rows, every=False)
    room = sheet.width - max(map(len, rows)) - len(" : ")
    widest = max((cells(name) for name in names if cells(name) <= room), default=0)
    for name, row, each in zip(names, rows, counts.values(), strict=True):
        if cells(name) > room:
            sheet.verbatim(name, each.style)
        sheet.verbatim(f"{pad('' if cells(name) > room else name, widest)} : {row}", each.style)


def _too_wide(sheet: Sheet, names: int, rows: Sequence[str]) -> bool:
    return names + len(" : ") + max(map(len, rows)) > sheet.width


def _columns(rows: Sequence[str], *, every: bool) -> list[str]:
    """Return the rows with columns as narrow as they may be; unless `every`, without those that count nothing."""
    columns = [
        column
        for column in zip(*(row.split() for row in rows), strict=True)
        if every or column[0].startswith(_ALWAYS) or any(not word.endswith("=0") for word in column)
    ]
    widths = [max(map(len, column)) for column in columns]
    return [" ".join(map(str.ljust, line, widths)).rstrip() for line in zip(*columns, strict=True)]


def _details(story: Story, ended: RunEnded) -> list[str]:
    """Return in a few words what the exit code does not tell; a silence would leave a doubt."""
    counts = story.recap.hosts
    if not counts:
        return ["no host was worked on"]
    mode = story.mode
    changes = len(story.told_changes())
    stay = sum(finding.resolved is False for finding in story.findings.values())
    failed = sum(bool(each.failed) for each in counts.values())
    out = len(story.left_out)
    details = []
    if mode == "diagnose" and story.findings:
        severities = sorted(finding.raised.severity for finding in story.findings.values())
        details.append(", ".join(f"{len(list(same))} {severity}" for severity, same in groupby(severities)))
    elif ended.outcome == "ok" and mode == "diagnose":
        details.append("nothing found wrong")
    elif changes and mode == "check":
        details.append(f"{count(changes, 'change')} would be made")
    elif ended.outcome == "ok" and not changes:
        foreseen = "no change foreseen" if story.unknown else "nothing to change"
        details.append(foreseen if mode == "check" else "nothing had to be changed")
    details += [f"{count(len(story.unknown), 'task')} unknown"] if story.unknown else []
    details += [f"{count(stay, 'finding')} STILL THERE"] if stay else []
    lost = [f"{number} {word}" for number, word in ((failed, "failed"), (out, "left out")) if number]
    return [*details, f"{', '.join(lost)} of {count(len(counts), 'host')}"] if lost else details


def _lasting(made: Sequence[Changed]) -> list[Changed]:
    """Leave out what the run itself has put back, such as a reserve that was lent."""
    ends: dict[tuple[str, str], list[Changed]] = defaultdict(list)
    for change in made:
        ends[change.host, change.object].append(change)
    back = {
        key for key, each in ends.items()
        if len(each) > 1 and each[0].before is not None and each[0].before == each[-1].after
    }  # fmt: skip
    return [change for change in made if (change.host, change.object) not in back]


def _way_back(sheet: Sheet, story: Story, ended: RunEnded) -> None:
    if story.mode == "check":
        sheet.line("Nothing was changed: this was a check.")
        return
    made = _lasting([change for change in story.changes if not change.predicted])
    back = sum(change.reversible for change in made)
    if story.mode != "apply" or not made:
        return
    if not back:
        sheet.line("None of these changes can be rolled back.")
        return
    some = f"{back} of {len(made)} changes ({len(made) - back} cannot be)"
    every = "the change" if len(made) == 1 else f"all {len(made)} changes"
    command = f"remedy rollback {ended.run}"
    text = f"To roll back {every if back == len(made) else some}:"
    if len(text) + 1 + len(command) <= sheet.width:
        sheet.line(text, " ", ("bold", command))
    else:  # in one piece, to be copied
        sheet.line(text)
        sheet.verbatim(command, "bold", indent=4)
