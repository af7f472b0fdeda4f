"""What is wrong, and whether it is healed: what is still there first, then the worst."""

from __future__ import annotations

from remedy.report.evidence import told
from remedy.report.sections.view import View
from remedy.report.sheet import Part, Sheet
from remedy.report.story import Finding, Story
from remedy.report.text import count, grouped

STYLES = {"P0": "alarm", "P1": "bold red", "P2": "bold yellow", "P3": "bold cyan"}
_HOSTS_WITH_EVIDENCE = 3
_ROWS = 6
_MANY = 3  # with more findings than this each has less room
_ROWS_OF_MANY = 4
_LINES_OF_MANY = 8


def findings(sheet: Sheet, story: Story, view: View) -> None:
    """Tell the findings; those that are the same on several hosts once."""
    every = list(story.findings.values())
    if not every:
        return
    healed = sum(bool(finding.resolved) for finding in every)
    stay = sum(finding.resolved is False for finding in every)
    about = [f"{number} {word}" for number, word in ((healed, "resolved"), (stay, "STILL THERE")) if number]
    sheet.heading(f"FINDINGS: {len(every)}" + (f" ({', '.join(about)})" if about else ""))
    evident = [finding for finding in every if finding.resolved is not True]
    tight = view.verbosity <= 0 and len(evident) > _MANY
    every.sort(key=lambda finding: (finding.resolved is True, finding.raised.severity))
    for _, same in grouped(every, _look):
        _one(sheet, same, story, view, tight=tight)


def _look(finding: Finding) -> tuple[object, ...]:
    raised = finding.raised
    return raised.severity, raised.id, raised.title, raised.advice, finding.resolved


def _one(sheet: Sheet, same: list[Finding], story: Story, view: View, *, tight: bool) -> None:
    raised = same[0].raised
    hosts = [finding.raised.host for finding in same]
    state: dict[bool | None, list[Part]] = {
        True: [("bold green", "  RESOLVED")],
        False: [("bold red", "  STILL THERE")],
        None: [("yellow", "  not checked again")] if story.mode == "apply" and story.ended else [],
    }
    sheet.line(
        (STYLES.get(raised.severity, "bold"), raised.severity),
        "  ",
        *view.hosts(hosts),
        raised.title,
        ("dim", f"  [{raised.id}]"),
        *state[same[0].resolved],
        indent=2,
    )
    if all(finding.key in view.known and not finding.raised.again for finding in same):
        return  # the rest stands right above
    view.host_names(sheet, hosts, indent=6)
    if same[0].resolved is not True or view.verbosity > 0:
        _evidence(sheet, same, view, tight=tight)
    if raised.advice:
        sheet.line(("cyan", "advice: "), " ".join(raised.advice.split()), indent=6, hang=8)


def _evidence(sheet: Sheet, same: list[Finding], view: View, *, tight: bool) -> None:
    width = sheet.width - 8
    most, longest, hosts = view.most(_ROWS), None, _HOSTS_WITH_EVIDENCE
    if tight:
        hosts = 2
        most, longest = _ROWS_OF_MANY, _LINES_OF_MANY if len(same) == 1 else _LINES_OF_MANY // hosts
    by_evidence = grouped(
        same, lambda finding: tuple(told(finding.raised.evidence, width=width, most=most, longest=longest))
    )
    shown = by_evidence if view.verbosity > 1 else by_evidence[:hosts]
    for lines, those in shown:
        if len(by_evidence) > 1 and lines:
            sheet.line(*view.hosts([finding.raised.host for finding in those]), indent=6)
        for line in lines:
            sheet.verbatim(line, indent=8)
    rest = sum(len(those) for _, those in by_evidence[len(shown) :])
    if rest:
        sheet.line(("dim", f"... and the evidence of {count(rest, 'more host')} (-vv shows it)"), indent=6)
