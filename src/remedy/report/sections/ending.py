"""The end: Ansible's recap, how it went as a whole, and the way back."""

from __future__ import annotations

from itertools import groupby

from remedy.events import RunEnded
from remedy.report.sections.view import View
from remedy.report.sheet import Sheet
from remedy.report.story import Story
from remedy.report.text import count, duration, pad, safe

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


def ending(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the recap, the outcome, and how to roll back."""
    counts = story.recap.hosts
    if counts:
        width = max(len(safe(name)) for name in counts)
        sheet.heading("RECAP")
        for name, each in counts.items():
            sheet.verbatim(f"{pad(safe(name), width)} : {each}", each.style)
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


def _way_back(sheet: Sheet, story: Story, ended: RunEnded) -> None:
    if story.mode == "check":
        sheet.line("Nothing was changed: this was a check.")
        return
    made = [change for change in story.changes if not change.predicted]
    back = sum(change.reversible for change in made)
    if story.mode != "apply" or not made:
        return
    if not back:
        sheet.line("None of these changes can be rolled back.")
        return
    some = f"{back} of {len(made)} changes ({len(made) - back} cannot be)"
    every = "the change" if len(made) == 1 else f"all {len(made)} changes"
    command = f"remedy rollback {ended.run}"
    sheet.line(f"To roll back {every if back == len(made) else some}: ", ("bold", command))
