"""The report in its forms: the same truth, and no word of a host's is taken for markup."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from remedy.cli import drilling, main
from remedy.cli.drill_console import ConsoleTeller, show_report
from remedy.drill import record
from remedy.drill.matrix import matrix
from remedy.drill.record import Change, Deviation, DrillRecord, DrillReport, Guarded, Phase, Recovery, Seen
from remedy.drill.reports import as_html, as_json, as_junit, as_markdown, write_all
from remedy.drill.reports.html import bars
from remedy.drill.reports.words import recovered
from remedy.errors import RemedyError
from remedy.project import Project
from remedy.report.text import safe

NASTY = "<script>alert('x')</script> | `a` \x1b[31m & \x00"


def phases(**outcomes: str) -> tuple[Phase, ...]:
    """Return all phases a second each, `ok` unless named otherwise (the blanks of a name as _)."""
    made = []
    for number, name in enumerate(record.PHASES):
        outcome = outcomes.get(name.replace(" ", "_"), record.OK)
        made.append(Phase(name=name, outcome=outcome, started=1000.0 + number, seconds=1.0))
    return tuple(made)


PASSED = DrillRecord(
    name="good",
    title="A disk is full",
    file="/drills/good.yml",
    runbook="disk-full",
    hosts={"app1": {"role": "app", "address": "10.0.0.1"}},
    outcome="passed",
    started=1000.0,
    seconds=9.0,
    detect_limit=30,
    heal_limit=60,
    time_to_detect=0.25,
    time_to_heal=75.0,
    second_run_changes=0,
    findings=(Seen(host="app1", id="disk-full", severity="P1", title=NASTY, after=0.25, expected=True),),
    recoveries=(
        Recovery(
            **{"host": "app1", "engine": "mysql", "database": NASTY, "seconds": 4.25, "point": 1000.0},
            **{"rows_behind": 3, "lost_seconds": 61.0},
        ),
    ),
    collateral=(Guarded(host="app1", kind="file", title=NASTY, before="a", after=NASTY, same=True),),
    phases=phases(),
)
DEVIATION = Deviation(phase=record.HEAL, what="not-healed", text=NASTY, host="app1")
HEAL = Phase(name=record.HEAL, outcome=record.DEVIATED, started=1004.0, seconds=1.0, deviations=(DEVIATION,))
FAILED = replace(
    PASSED,
    name="bad",
    outcome="failed",
    exit_code=2,
    time_to_heal=None,
    second_run_changes=None,
    phases=tuple(
        HEAL if each.name == record.HEAL else each for each in phases(verify="not run", again="not run")
    ),
)
BROKEN = replace(FAILED, name="odd", outcome="error", error=NASTY, phases=phases(hosts="error"))
REPORT = DrillReport(
    id="r1",
    provider="lab",
    user="me@here",
    started=1000.0,
    seconds=27.0,
    exit_code=2,
    drills=(PASSED, FAILED, BROKEN),
)


def test_json_says_all_of_it():
    made = json.loads(as_json(REPORT))
    assert made["schema"] == "remedy.drill/1"
    assert made["drill_run"]["started"] == "1970-01-01T00:16:40.000Z"
    assert (made["drill_run"]["passed"], made["drill_run"]["failed"]) == (1, 2)
    good, bad, odd = made["drills"]
    assert good["time_to_detect"] == 0.25
    assert bad["deviations"] == [{"phase": "heal", "what": "not-healed", "text": NASTY, "host": "app1"}]
    assert odd["error"] == NASTY


def test_junit_has_a_suite_for_each_drill_and_a_case_for_each_phase():
    root = ElementTree.fromstring(as_junit(REPORT))
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == (
        "27",
        "1",
        "1",
        "2",
    )
    good, bad, odd = root
    assert [case.get("name") for case in good] == list(record.PHASES)
    assert not good.findall("*/*")
    (failure,) = bad.iter("failure")
    assert failure.get("type") == "not-healed"
    assert "<script>alert('x')</script>" in str(failure.get("message"))
    assert len(list(bad.iter("skipped"))) == 2
    assert [case.get("name") for case in odd if case.find("error") is not None] == ["hosts"]


def test_markdown_has_a_row_for_each_drill_and_no_row_breaks():
    text = as_markdown(REPORT)
    assert "| good | disk-full | **passed** | 0.2 s | 1 min 15 s | 0 | 0 changes | 0 of 1 changed |" in text
    assert "| bad | disk-full | **deviation** | 0.2 s | - |" in text
    assert "- **deviation** in heal (not-healed): app1: \\<script\\>" in text
    rows = [re.sub(r"\\.", "", line) for line in text.splitlines() if line.startswith("| app1 |")]
    assert rows
    assert {row.count("|") for row in rows} <= {5, 6, 7}


class Tags(HTMLParser):
    """Collects what a page opens, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.fetched += [
            str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")
        ]


def test_the_page_needs_no_network_and_takes_no_word_for_markup():
    page = as_html(REPORT)
    tags = Tags()
    tags.feed(page)
    assert tags.fetched == []
    assert "script" not in tags.opened
    assert "link" not in tags.opened
    assert "url(" not in page
    assert tags.opened.count("section") == 3
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_timeline_places_every_phase():
    made = bars(PASSED)
    assert [round(bar.left) for bar in made] == [0, 11, 22, 33, 44, 56, 67, 78, 89]
    assert {round(bar.width) for bar in made} == {11}
    assert [bar.width for bar in bars(FAILED) if bar.phase.outcome == "not run"] == [0, 0]
    assert all(bar.left + bar.width <= 100 for bar in bars(replace(PASSED, seconds=0.5)))


def test_all_forms_are_written_and_a_folder_that_cannot_be_is_told(tmp_path: Path):
    write_all(REPORT, tmp_path / "a" / "b")
    assert {path.name for path in (tmp_path / "a/b").iterdir()} == {
        "drill.html", "drill.json", "drill.md", "drill.xml",
    }  # fmt: skip
    (tmp_path / "file").touch()
    with pytest.raises(RemedyError, match="the drill's report cannot be written"):
        write_all(REPORT, tmp_path / "file")


SLY = "\udcff \x1b]8;;http://b\x07 \u202e\u2028 [red]\n| x"
"""A byte that was no UTF-8, escape sequences, what turns text round, markup, a second line."""
ROGUE = replace(
    FAILED,
    name=SLY,
    title=SLY,
    runbook=SLY,
    hosts={SLY: {"role": SLY, "address": SLY}},
    error=SLY,
    findings=(Seen(host=SLY, id=SLY, severity=SLY, title=SLY, after=0.25, expected=False),),
    collateral=(Guarded(host=SLY, kind="file", title=SLY, before=SLY, after=SLY, same=False),),
    changes=(Change(host=SLY, task=SLY, module=SLY, object=SLY),),
    phases=(replace(HEAL, note=SLY, runs=(SLY,), deviations=(replace(DEVIATION, host=SLY, text=SLY),)),),
)
ROGUES = replace(REPORT, id=SLY, user=SLY, drills=(ROGUE,))
BAD = re.compile("[\ud800-\udfff\x00-\x09\x0b-\x1f\x7f-\x9f]")
DECEIVING = re.compile(BAD.pattern[:-1] + "\u202a-\u202e\u2028\u2029]")


def test_every_form_can_be_written_whatever_a_host_says(tmp_path: Path):
    write_all(ROGUES, tmp_path)
    assert json.loads((tmp_path / "drill.json").read_text())["drills"][0]["findings"][0]["title"] == (
        SLY.replace("\udcff", "\\xff")
    )
    assert ElementTree.parse(tmp_path / "drill.xml").getroot()[0].get("failures") == "1"
    for name in ("drill.md", "drill.html"):
        assert not DECEIVING.search((tmp_path / name).read_bytes().decode()), name
    assert not BAD.search((tmp_path / "drill.xml").read_bytes().decode())
    text = re.sub("```.*?```", "", (tmp_path / "drill.md").read_text(), flags=re.DOTALL)
    rows = [re.sub(r"\\.", "", line).count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(rows) == {9, 7, 6, 5}, "no row is broken, and none is cut in two"


def test_no_word_of_a_host_paints_the_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    show_report(ROGUES, tmp_path, color=False)
    teller = ConsoleTeller(color=False)
    teller.phase_ends(ROGUE.phases[0])
    teller.drill_ends(ROGUE)
    teller.say(SLY)
    out, err = capsys.readouterr()
    assert not DECEIVING.search(out + err)
    assert out.count("[red]") == 9, "markup is text, too"
    assert f"deviation: {safe(SLY)}: {safe(SLY)}" in out


def test_the_matrix_knows_who_has_a_drill_and_when_it_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    runbook = "- hosts: all\n  diagnose: [stat: {path: /a}]\n"
    for name in ("disk-full", "lonely"):
        path = tmp_path / "playbooks" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(runbook)
    (tmp_path / "playbooks/ordinary.yml").write_text("- hosts: all\n  tasks: [ping: ]\n")
    drill = "runbook: disk-full\nhosts: {a: {role: base}}\nmethod: [ping: ]\nexpect: [x]\n"
    for name in ("good", "bad", "never"):
        path = tmp_path / "drills" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(drill)
    older = replace(REPORT, drills=(replace(PASSED, name="bad", started=900.0),))
    write_all(REPORT, tmp_path / "state/drills/2")
    write_all(older, tmp_path / "state/drills/1")
    (tmp_path / "state/drills/3").mkdir()
    (tmp_path / "state/drills/3/drill.json").write_text("torn {")
    rows = {(row.runbook, row.drill): row for row in matrix(Project(tmp_path, library=tmp_path / "none"))}
    assert set(rows) == {
        ("disk-full", "good"),
        ("disk-full", "bad"),
        ("disk-full", "never"),
        ("lonely", None),
    }
    assert rows["disk-full", "good"].last_passed == "1970-01-01T00:16:40.000Z"
    bad = rows["disk-full", "bad"]
    assert (bad.outcome, bad.last_run, bad.last_passed) == (
        "failed", "1970-01-01T00:16:40.000Z", "1970-01-01T00:15:00.000Z",
    )  # fmt: skip
    assert rows["disk-full", "never"].last_run is None


def test_a_broken_file_is_a_row_of_the_matrix_and_the_others_are_told_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    for name, text in {
        "playbooks/mine.yml": "- hosts: all\n  diagnose: [stat: {path: /a}]\n",
        "playbooks/odd.yml": "- hosts: all\n  diagnos: []\n",
        "drills/good.yml": "runbook: mine\nhosts: {a: {role: base}}\nmethod: [ping: ]\nexpect: [x]\n",
        "drills/torn.yml": "runbook: mine\nhosts: {\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["drill", "--matrix"])
    out, _ = capsys.readouterr()
    assert ended.value.code == 5
    assert re.search(r"^mine +good +never", out, re.MULTILINE)
    assert re.search(r"^- +torn +never +broken", out, re.MULTILINE)
    assert re.search(r"^odd +none +never +broken", out, re.MULTILINE)
    assert "drills/torn.yml:3:1: " in out
    with pytest.raises(SystemExit) as ended:
        main(["drill", "--matrix", "--format", "json"])
    rows = {row["drill"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert ended.value.code == 5
    assert (rows["good"]["error"], rows["torn"]["runbook"]) == (None, None)
    assert "torn.yml:3:1" in rows["torn"]["error"]


@pytest.mark.parametrize("name", ["d" * 6000, "e/" * 3000 + "d.yml", "d" * 251])
def test_a_name_that_no_file_can_have_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["drill", name])
    assert ended.value.code == 5
    assert "no drill '" in capsys.readouterr().err


def test_a_signal_while_the_report_is_written_does_not_cut_it_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    class Over:
        """A rehearsal that is over."""

        folder = tmp_path / "folder"

        def __init__(self, *_: object) -> None:
            pass

        def run(self) -> DrillReport:
            return REPORT

    def interrupted(report: DrillReport, folder: Path) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        write_all(report, folder)

    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in numbers}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drilling, "Rehearsal", Over)
    monkeypatch.setattr(drilling, "write_all", interrupted)
    try:
        with pytest.raises(SystemExit) as ended:
            main(["drill", "disk-full", "--report-dir", "report"])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == []
    assert ended.value.code == REPORT.exit_code
    assert len(list((tmp_path / "report").iterdir())) == len(list(Over.folder.iterdir())) == 4
    assert "1 of 3 passed" in capsys.readouterr().out


def test_every_form_tells_what_came_back_of_lost_data(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    lost = "1 min 1 s, 3 rows behind the damaged copy"
    (came,) = json.loads(as_json(REPORT))["drills"][0]["recoveries"]
    assert (came["seconds"], came["point"], came["lost_seconds"]) == (4.25, "1970-01-01T00:16:40.000Z", 61.0)
    assert f"| 4.2 s | 1970-01-01 00:16:40 UTC | {lost} |" in as_markdown(REPORT)
    assert f'<td class="n">{lost}</td>' in as_html(REPORT)
    show_report(REPORT, tmp_path, False)
    assert f"recovered in 4.2 s, back to 1970-01-01 00:16:40 UTC; lost: {lost}" in " ".join(
        capsys.readouterr().out.split()
    )
    whole = replace(PASSED.recoveries[0], rows_behind=0)
    assert recovered(whole)[2] == "none"
    assert recovered(replace(whole, rows_behind=1, lost_seconds=None))[2] == "1 row behind the damaged copy"
