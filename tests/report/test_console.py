"""What a tired person reads at three in the morning. night.txt is what the night looks like:
`python tests/report/night.py --width 100 --diff > tests/report/night.txt` writes it anew."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remedy.events import Approved, Event, FindingRaised, HostLeftOut, Message, RunEnded, RunStarted, Warned
from remedy.report import Console
from tests.report import night


def told(events: Iterable[Event], **given: Any) -> str:
    stream = io.StringIO()
    console = Console(stream, **{"color": False, "progress": False, "width": 100, **given})
    for event in events:
        console(event)
    console.close()
    return stream.getvalue()


def run(
    *events: Event, mode: str = "apply", outcome: str = "ok", code: int = 0, hosts: Iterable[str] = ("a",)
) -> list[Event]:
    start = RunStarted(
        run="20250314-a",
        playbook="p.yml",
        inventory="prod",
        mode=mode,
        user="u",
        hosts=list(hosts),
        arguments=[],
    )
    return [start, *events, RunEnded(run="20250314-a", outcome=outcome, exit_code=code, seconds=1.2)]


def section(text: str, title: str) -> list[str]:
    """Return the lines of one section of the report."""
    page = next(page for page in text.split("\n\n") if page.startswith(title))
    return page.splitlines()


def test_the_whole_night() -> None:
    expected = (Path(__file__).parent / "night.txt").read_text(encoding="utf-8")
    assert told(night.tell("apply"), diff=True, progress=True) == expected


def test_the_parts_come_in_the_order_in_which_they_are_read() -> None:
    text = told(night.tell("apply"))
    titles = [
        "FINDINGS",
        "CHANGES",
        "KEPT",
        "FAILED",
        "NOTE",
        "WARNINGS",
        "LEFT OUT",
        "RECAP",
        "UNREACHABLE (exit",
    ]
    places = [text.index(f"\n{title}") if title != "FINDINGS" else text.index(title) for title in titles]
    assert places == sorted(places)


def test_check_says_would_and_tells_what_it_cannot_foresee() -> None:
    text = told(night.tell("check"))
    assert section(text, "WOULD CHANGE")[0] == "WOULD CHANGE: 15, 49.4 GiB would be freed"
    assert section(text, "UNKNOWN")[:2] == [
        "UNKNOWN: 12 tasks that check mode cannot foresee",
        "  on 12 hosts: Restart the app",
    ]
    assert text.endswith("Nothing was changed: this was a check.\n")
    assert "rollback" not in text


def test_diagnose_counts_what_it_found() -> None:
    text = told(night.tell("diagnose"))
    assert "\nFINDINGS (exit code 10): 1 P0, 2 P1, 12 P3; 2 left out of 16 hosts\n" in text


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("apply", "OK: nothing had to be changed"),
        ("check", "OK: nothing to change"),
        ("diagnose", "OK: nothing found wrong"),
    ],
)
def test_a_quiet_end_says_that_there_was_nothing(mode: str, words: str) -> None:
    assert words in told(run(night.done("a", "t", "ok", 1), mode=mode))


def test_a_finding_that_stays_is_told_first_and_at_the_end() -> None:
    def raised(id: str, severity: str, again: bool) -> FindingRaised:
        return FindingRaised(
            host="a",
            play="p",
            id=id,
            severity=severity,
            title=id,
            evidence={"n": 1},
            advice=None,
            again=again,
        )

    text = told(run(raised("slow", "P3", False), raised("slow", "P3", True)))
    assert section(text, "FINDINGS") == [
        "FINDINGS: 1 (1 STILL THERE)",
        "  P3  a: slow  [slow]  STILL THERE",
        "        n: 1",
    ]
    assert "\nOK: nothing had to be changed; 1 finding STILL THERE\n" in text


def test_a_sweep_names_the_largest_that_go_and_more_with_v() -> None:
    sizes = [0, *(n << 20 for n in range(200, 100, -10))]
    items = [{"item": f"image:{n}", "reason": "unused", "size": size} for n, size in enumerate(sizes[1:])]
    items.append({"item": "image:empty", "reason": "", "size": 0})
    given = {
        "kind": "sweep",
        "before": {"items": 11},
        "after": {"items": 0},
        "items": items,
        "reversible": False,
    }
    for predicted, mode, title in ((False, "apply", "CHANGES"), (True, "check", "WOULD CHANGE")):
        events = run(night.change("a", "t", "images", predicted=predicted, **given), mode=mode)
        assert section(told(events), title)[3:] == [
            "      200 MiB  image:0  (unused)",
            "      190 MiB  image:1  (unused)",
            "      180 MiB  image:2  (unused)",
            "      170 MiB  image:3  (unused)",
            "      160 MiB  image:4  (unused)",
            "      ... and 6 more (-v lists them)",
        ]
        every = section(told(events, verbosity=1), title)
        assert every[-2:] == ["      110 MiB  image:9  (unused)", "               image:empty"]


def test_the_recap_fits_narrow_paper_and_loses_no_number() -> None:
    hosts = ["db1", "web1.example.org", "a-name-as-long-as-a-name-may-be-and-longer.example.org"]
    events = run(
        night.done("db1", "t", "failed", 1, rescued=True), night.done(hosts[2], "t", "ok", 1), hosts=hosts
    )
    assert section(told(events, width=80), "RECAP")[1:] == [
        "db1              : ok=0 changed=0 unreachable=0 failed=0 rescued=1",
        "web1.example.org : ok=0 changed=0 unreachable=0 failed=0 rescued=0",
        hosts[2],
        "                 : ok=1 changed=0 unreachable=0 failed=0 rescued=0",
    ]
    short = run(night.done("db1", "t", "failed", 1, ignored=True), hosts=["db1"])
    assert section(told(short, width=80), "RECAP")[1:] == [
        "db1 : ok=1 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=1"
    ]
    assert "ok=1    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=1" in told(
        short, width=120
    )


def test_the_question_wraps_at_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = ", ".join(f"/var/log/app-{n}.log (open by app)" for n in range(3))
    (tmp_path / "answer").write_text("")
    asked = io.StringIO()
    with (tmp_path / "answer").open() as given:
        monkeypatch.setattr("sys.stdin", given)
        monkeypatch.setattr("sys.stderr", asked)
        console = Console(io.StringIO(), color=False, width=60)
        console.ask(f"  would destroy 1 file on 1 host:\n      kept: {kept}", threading.Event())
    assert asked.getvalue() == (
        "\nAPPROVAL\n"
        "  would destroy 1 file on 1 host:\n"
        "      kept: /var/log/app-0.log (open by app),\n"
        "        /var/log/app-1.log (open by app), /var/log/app-2.log\n"
        "        (open by app)\n"
        "Go on? [y/N]: "
    )


def test_on_whose_word_it_was() -> None:
    steps = [
        {"host": "db1", "task": f"Purge {n}", "object": "binary logs", "kinds": ["D", "R"], "perhaps": n == 2}
        for n in range(3)
    ]
    asked = Approved(play="p", by="root@ops", steps=steps[:1])
    granted = Approved(
        play="p", by="anna", steps=steps, schedule="nightly", kinds=["D", "R"], at_most="50%", until="2099-12-31"
    )
    lines = told(run(asked, granted, granted, hosts=["db1"]), width=120).splitlines()
    at = lines.index("APPROVED: 7 steps")
    assert lines[at + 1 : at + 6] == [
        "  by root@ops, who was asked",
        "    db1: Purge 0: binary logs (D R)",
        "  by anna: the permission of the schedule 'nightly' for D and R, on at most 50% of the hosts, until "
        "2099-12-31",
        "    db1: Purge 0: binary logs (D R)",
        "    db1: Purge 1: binary logs (D R)",
    ]
    assert "    db1: perhaps Purge 2: binary logs (D R)" in lines


def test_the_way_back() -> None:
    one = night.change("a", "t", "file:/x", after={"mode": "0600"})
    gone = night.change(
        "a", "t", "x", kind="action", reversible=False, reason="an action cannot be taken back"
    )
    assert told(run(one)).endswith("To roll back the change: remedy rollback 20250314-a\n")
    assert told(run(one, one)).endswith("To roll back all 2 changes: remedy rollback 20250314-a\n")
    assert told(run(one, gone)).endswith(
        "To roll back 1 of 2 changes (1 cannot be): remedy rollback 20250314-a\n"
    )
    assert told(run(one, gone), width=64).endswith(
        "To roll back 1 of 2 changes (1 cannot be):\n    remedy rollback 20250314-a\n"
    )
    assert told(run(gone)).endswith("None of these changes can be rolled back.\n")
    lent = night.change("a", "t", "reserve", before=9, after=0)
    back = night.change("a", "t", "reserve", before=0, after=9)
    assert told(run(lent, gone, back)).endswith("None of these changes can be rolled back.\n")


def test_a_rollback_tells_what_it_left_and_why() -> None:
    text = told(
        run(
            night.change("a", "Write it", "file:/x", before={"mode": "0600"}, after={"mode": "0644"}),
            night.done("a", "Write y", "skipped", 3, reason="changed since: sha1"),
            mode="rollback",
        )
    )
    assert section(text, "ROLLED BACK")[1] == "  a: file:/x: mode 0600 -> 0644"
    assert section(text, "NOT ROLLED BACK") == [
        "NOT ROLLED BACK: 1 change",
        "  a: Write y: changed since: sha1",
    ]


def test_failures_of_a_loop_name_their_items() -> None:
    result = {
        "results": [
            {"failed": True, "msg": "no such user", "ansible_loop_var": "item", "item": "eve"},
            {"failed": False, "ansible_loop_var": "item", "item": "bob"},
        ]
    }
    text = told(
        run(night.done("a", "Add users", "failed", 4, result=result, reason="x"), outcome="failed", code=2)
    )
    assert section(text, "FAILED")[1:] == [
        "  a: Add users  (playbooks/disk-full.yml:4:5)",
        "      item eve: no such user",
    ]
    assert "\nFAILED (exit code 2): 1 failed of 1 host\n" in text


def test_an_ignored_failure_is_told_in_a_line() -> None:
    events = [
        night.done(host, "Stop the app", "failed", 4, ignored=True, reason="no such unit\n  app.service")
        for host in ("a", "b")
    ]
    text = told(run(*events, hosts=["a", "b"]))
    assert section(text, "IGNORED") == [
        "IGNORED: 2 failed tasks",
        "  a, b: Stop the app: no such unit app.service",
    ]
    assert "FAILED" not in text


@pytest.mark.parametrize(
    ("condition", "evidence"),
    [
        (
            "disk.full | length > 0",
            [
                "        full:",
                "          MOUNT  STATE      SIZE      USED  AVAILABLE  PERCENT  INODE_PERCENT  LACKS",
                "          /var   rw     50.0 GiB  49.5 GiB    512 MiB      99%             6%  bytes",
            ],
        ),
        ("disk['count'] > 0", ["        count: 1"]),
        ("not disk is success", ["        count: 1", "        full:"]),
    ],
)
def test_a_failed_verify_shows_what_it_saw(condition: str, evidence: list[str]) -> None:
    result = {
        "count": 1,
        "full": [night.filesystem("/var", 99, 50)],
        "failed": True,
        "failed_when_result": True,
    }
    done = night.done(
        "a", "Look", "failed", 4, section="verify", reason=f"failed_when: {condition}", result=result
    )
    lines = section(told(run(done)), "FAILED")
    assert lines[1:3] == [
        "  a: Look  (in verify, playbooks/disk-full.yml:4:5)",
        f"      failed_when: {condition}",
    ]
    assert lines[3 : 3 + len(evidence)] == evidence
    assert "changed" not in "".join(lines)
    if "full" in condition:  # where there is little room, what is free comes before what else is known
        narrow = section(told(run(done), width=44), "FAILED")
        assert narrow[-1].split() == ["/var", "512", "MiB", "99%", "bytes"]


def found(host: str, **given: Any) -> FindingRaised:
    about = {
        "host": host,
        "play": "p",
        "id": "x",
        "severity": "P1",
        "title": "t",
        "evidence": {},
        "advice": None,
    }
    return FindingRaised(**{**about, **given})


def test_many_findings_have_little_room_each() -> None:
    evidence = [f"line {n} of it" for n in range(20)]
    several = {"a": 1, "rows": evidence, "more": evidence}
    few = told(run(*(found("a", id=str(n), title=str(n), evidence=several) for n in range(3))))
    many = told(run(*(found("a", id=str(n), title=str(n), evidence=several) for n in range(4))))
    assert len(section(few, "FINDINGS")) == 1 + 3 * (1 + 17)
    assert len(section(many, "FINDINGS")) == 1 + 4 * (1 + 9)
    hosts = [f"h{n}" for n in range(12)]
    alike = told(run(*(found(host, evidence={**several, "a": host}) for host in hosts), hosts=hosts))
    assert len(section(alike, "FINDINGS")) <= 16
    assert "      ... and the evidence of 10 more hosts (-vv shows it)" in alike
    assert "line 19 of it" in told(run(*(found(host, evidence=several) for host in hosts)), verbosity=2)


@pytest.mark.parametrize(("answer", "again"), [("n\n", 1), ("y\n", 2)])
def test_what_was_shown_before_a_no_is_not_shown_again(
    answer: str, again: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "answer").write_text(answer)
    stream = io.StringIO()
    console = Console(stream, color=False, progress=False, width=100)
    start, finding, end = run(found("a", title="it is full", evidence={"mount": "/var"}), outcome="refused")
    console(start)
    console(finding)
    with (tmp_path / "answer").open() as given:
        monkeypatch.setattr("sys.stdin", given)
        assert console.ask("  would destroy 1 file on 1 host:", threading.Event()) == (again == 2)
    console(end)
    assert stream.getvalue().count("it is full") == 2
    assert stream.getvalue().count("mount: /var") == again


def test_a_failure_of_no_log_stays_hidden() -> None:
    text = told(run(night.done("a", "t", "failed", 4, no_log=True, reason="", result={"censored": "x"})))
    assert "(hidden: the task says no_log" in text


def test_more_v_tell_more_of_stderr() -> None:
    assert told(night.tell("apply")).count("InnoDB: error") == 3
    assert "stderr (the last 20 of 30 lines):" in told(night.tell("apply"), verbosity=1)
    assert "stderr:\n" in told(night.tell("apply"), verbosity=2)


@pytest.mark.parametrize(
    ("verbosity", "line"),
    [
        (1, "changed  web1.example.org  Rotate daily [0.2 s]"),
        (1, "ok       db1.example.org  diagnose: Ask the RAID [0.2 s]"),
        (2, '         {"msg": "hello"}'),
        (2, "         db1.example.org enters diagnose"),
        (3, "         db1.example.org connected: Python 3.9.2 as root, db1, pid 4242"),
        (3, "         web1.example.org may change file:/etc/logrotate.d/app: its state before is on disk"),
        (4, '             {"python": "3.9.2", "user": "root", "hostname": "db1", "pid": 4242, "uid": 0}'),
    ],
)
def test_each_v_adds_its_own(verbosity: int, line: str) -> None:
    def lines(verbosity: int) -> list[str]:
        events = list(night.tell("apply"))
        events.insert(
            5, night.done("db1.example.org", "x", "ok", 1, result={"changed": False, "msg": "hello"})
        )
        return told(events, verbosity=verbosity).splitlines()

    assert line in lines(verbosity)
    assert line not in lines(verbosity - 1)


def test_messages_are_shown_when_they_come() -> None:
    text = told(
        [
            Message(host="a", task="Say it", message="one\n\x1b[2Jtwo"),
            Message(host="a", task="t", message=[1]),
        ]
    )
    assert text == "a: Say it\n    one\n    \\x1b[2Jtwo\na: t\n    [1]\n"


def test_progress_without_a_terminal_is_a_few_plain_lines() -> None:
    before_report = told(night.tell("apply"), progress=True).partition("\n\n")[0]
    assert "16 of 16 hosts done" in before_report
    assert "db2.example.org failed: Restart MariaDB (playbooks/disk-full.yml:51:5)" in before_report
    assert before_report.count("hosts done") <= 10


def test_a_run_that_never_was_is_told_in_two_lines() -> None:
    assert told(run(outcome="refused", code=5, hosts=[])) == (
        "REFUSED (exit code 5): no host was worked on\n1.2 s, run 20250314-a\n"
    )


def test_colour_is_asked_of_the_stream_and_of_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def painted(stream: io.StringIO, color: bool | None) -> bool:
        console = Console(stream, color=color, progress=False)
        console(Warned(message="x"))
        for event in run():
            console(event)
        return "\x1b[" in stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert painted(Terminal(), None)
    assert not painted(io.StringIO(), None)
    assert painted(io.StringIO(), True)
    assert not painted(Terminal(), False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not painted(Terminal(), None)
    assert painted(Terminal(), True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not painted(Terminal(), None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_of_a_host_reaches_the_terminal_raw(one: str, two: str) -> None:
    evil = f"\x1b]0;{one}\x07\x9b\udcff{two}\u202e"
    events = run(
        Message(host=evil, task=evil, message=evil),
        FindingRaised(
            host=evil,
            play=evil,
            id=evil,
            severity=evil,
            title=evil,
            evidence=[{evil: evil}, {"b": evil}],
            advice=evil,
        ),
        night.change(evil, evil, evil, before={"a": evil}, after={"a": one}, diff=evil, reason=evil),
        night.done(
            evil,
            evil,
            "failed",
            1,
            reason=evil,
            result={"stderr": evil, "msg": evil},
            kept=[{"item": evil, "reason": evil}],
        ),
        night.done(evil, evil, "unknown", 1, reason=evil),
        night.done(evil, evil, "not_run", 1),
        Warned(message=evil, host=evil),
        HostLeftOut(host=evil, reason=evil, message=evil),
        hosts=[evil],
    )
    for verbosity in (0, 3):
        text = told(events, verbosity=verbosity, diff=True, progress=True)
        assert all(
            char == "\n" or char.isprintable() or (char.isspace() and char not in "\r\x0b\x0c\x85")
            for char in text
        )
        assert "\x1b" not in text


@pytest.mark.parametrize("width", [40, 72, 130])
def test_lines_fit_the_paper_and_host_names_stay_whole(width: int) -> None:
    text = told(night.tell("apply"), width=width)
    assert all(host in text for host in night.HOSTS)
    report = text.partition("RECAP")[0]
    for line in report.splitlines():
        words = line.split()
        assert len(line) <= width or len(words) == 1 or "InnoDB" in line or line.startswith("        ")


def test_a_rollback_in_check_mode_says_would() -> None:
    change = night.change("a", "Write it", "file:/x", before={"n": 1}, after={"n": 2}, predicted=True)
    start, *rest = run(
        change, night.done("a", "Write y", "skipped", 3, reason="changed since: n"), mode="check"
    )
    text = told([replace(start, arguments=["rollback", "20250101-z"]), *rest])
    assert section(text, "WOULD ROLL BACK")[1] == "  a: file:/x: n 1 -> 2"
    assert section(text, "NOT ROLLED BACK")[1] == "  a: Write y: changed since: n"
