"""The report as JUnit XML: a test suite for each drill, a test case for each of its phases."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from remedy.drill import record
from remedy.drill.record import DrillRecord, DrillReport, Phase
from remedy.drill.reports.clean import for_programs
from remedy.drill.reports.json import instant

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0


def as_junit(report: DrillReport) -> str:
    """Return the XML as text."""
    report = for_programs(report)
    root = Element(
        "testsuites", {"name": _clean(f"remedy drill {report.id}"), "time": f"{report.seconds:.3f}"}
    )
    counts = [_suite(root, one) for one in report.drills]
    for number, name in enumerate(("tests", "failures", "errors", "skipped")):
        root.set(name, str(sum(count[number] for count in counts)))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, one: DrillRecord) -> tuple[int, int, int, int]:
    suite = SubElement(root, "testsuite", {"name": _clean(one.name), "time": f"{one.seconds:.3f}"})
    suite.set("timestamp", instant(one.started) or "")
    outcomes = [phase.outcome for phase in one.phases]
    count = (
        len(outcomes),
        outcomes.count(record.DEVIATED),
        outcomes.count(record.FAILED) + outcomes.count(record.INTERRUPTED),
        outcomes.count(record.NOT_RUN),
    )
    for name, number in zip(("tests", "failures", "errors", "skipped"), count, strict=True):
        suite.set(name, str(number))
    for phase in one.phases:
        _case(suite, one, phase)
    return count


def _case(suite: Element, one: DrillRecord, phase: Phase) -> None:
    about = {"classname": _clean(f"drill.{one.name}"), "name": phase.name, "time": f"{phase.seconds:.3f}"}
    case = SubElement(suite, "testcase", about)
    if phase.outcome == record.NOT_RUN:
        SubElement(case, "skipped")
    elif phase.outcome in (record.FAILED, record.INTERRUPTED):
        SubElement(case, "error", {"message": _clean(one.error or phase.outcome), "type": phase.outcome})
    for deviation in phase.deviations:
        host = f"{deviation.host}: " if deviation.host else ""
        about = {"message": _clean(host + deviation.text), "type": deviation.what}
        SubElement(case, "failure", about)


def _clean(text: str) -> str:
    """Return a text without what XML cannot hold: names and reasons come from hosts."""
    return _FORBIDDEN.sub("?", text)
