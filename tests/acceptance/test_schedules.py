"""Schedules on the command line: added, looked at, paused, exported, run by hand; and what a permission covers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from remedy.lab import Lab
from remedy.lab.inventory import write_inventory
from tests.acceptance.cli import LOCAL, Done, Scene
from tests.conftest_lab import HostFactory

LOOK = """\
- hosts: all
  gather_facts: false
  runbook: {severity: P2}
  vars: {limit: 5}
  diagnose:
    - command: echo {{ limit }}
      args: {reads: true}
      register: seen
    - finding: {id: too-much, severity: P2, title: too much, evidence: "{{ seen.stdout }}"}
      when: seen.stdout | int > 9
"""


@pytest.fixture
def here(scene: Scene) -> Scene:
    """A project whose host is this machine, with a runbook that looks."""
    scene.write({"inventory/hosts.yml": LOCAL, "inventory/hosts.ini": "", "playbooks/look.yml": LOOK})
    (scene.folder / "inventory" / "hosts.ini").unlink()
    return scene


def _show(scene: Scene, name: str = "nightly") -> dict[str, Any]:
    done = scene.run(f"schedule show {name} --format json")
    return dict(json.loads(done.out))


def test_add_show_list_run_pause_resume_remove(here: Scene) -> None:
    added = here.run(
        "schedule add nightly --playbook look -i hosts --when 'daily at 02:30' --zone Europe/Berlin"
    )
    assert added.code == 0, added.err
    assert added.err.startswith("schedules/nightly.yml: 1 host, next at ")
    assert yaml.safe_load((here.folder / "schedules" / "nightly.yml").read_text()) == {
        "playbook": "look",
        "inventory": "hosts",
        "when": "daily at 02:30",
        "zone": "Europe/Berlin",
    }
    assert here.run("schedule add nightly").code == 0
    again = here.run("schedule add nightly --playbook look --when 'daily at 03:00'")
    assert (again.code, again.err) == (
        5,
        "error: schedules/nightly.yml: there is a schedule 'nightly'\n  --replace writes it anew\n",
    )

    assert "\nnext time:\n  " in here.run("schedule show nightly -n 1").out
    shown = here.run("schedule show nightly -n 400")
    assert shown.code == 0
    assert (
        "02:30 does not exist that day, the clock jumps over it: nothing runs, and that is recorded"
        in shown.out
    )
    assert "02:30 comes twice that day: it runs once, at the first" in shown.out
    assert "permission: none needed: it only looks" in shown.out
    listed = here.run("schedule list")
    assert listed.out.splitlines()[1].startswith("nightly  diagnose  look")

    assert here.run("schedule run nightly").code == 0
    (last,) = _show(here)["last"]
    assert (last["state"], last["exit_code"], last["reason"]) == ("done", 0, "by hand")
    assert last["run"] in here.run("history").out
    nothing = here.run("schedule run nightly --due now")
    assert (nothing.code, nothing.err) == (0, "nightly: nothing is due\n")

    assert here.run("schedule pause nightly --why 'the move'").code == 0
    twice = here.run("schedule pause nightly")
    assert (twice.code, "is paused already: since " in twice.err, "the move" in twice.err) == (5, True, True)
    refused = here.run("schedule run nightly")
    assert refused.code == 3
    assert "the schedule 'nightly' does not run now: it is paused: since " in refused.err
    assert "the move" in here.run("schedule list").out
    assert here.run("schedule run nightly --anyway").code == 0
    assert here.run("schedule resume nightly").code == 0
    assert _show(here)["state"] == "active"
    assert "paused" not in (here.folder / "schedules" / "nightly.yml").read_text()

    assert here.run("schedule remove nightly").code == 0
    assert here.run("schedule show nightly").code == 5


@pytest.mark.parametrize("text", [
    "{playbook: look, when: '@daily'}\n",
    "  playbook: look\n  when: '@daily'\n",
    "playbook: look\nwhen: '@daily'\n...\n",
], ids=["in braces", "indented", "ended"])  # fmt: skip
def test_a_pause_that_would_break_the_file_is_left_to_people(here: Scene, text: str) -> None:
    here.write({"schedules/nightly.yml": text})
    done = here.run("schedule pause nightly --why 'the move'")
    assert done.code == 5
    assert "schedules/nightly.yml: the file is written in a way that only a person should change" in done.err
    assert "write `paused: since 2" in done.err
    assert (here.folder / "schedules" / "nightly.yml").read_text() == text


def test_a_pause_leaves_a_link_and_an_owner_as_they_are(here: Scene) -> None:
    real = here.folder / "real.yml"
    real.write_text("playbook: look\nwhen: '@daily'\n")
    os.chown(real, 1, 1)
    (here.folder / "schedules").mkdir()
    (here.folder / "schedules" / "nightly.yml").symlink_to(real)
    assert here.run("schedule pause nightly").code == 0
    assert (here.folder / "schedules" / "nightly.yml").is_symlink()
    assert "paused: since" in real.read_text()
    assert (real.stat().st_uid, real.stat().st_gid) == (1, 1)


def test_a_pause_of_several_lines_is_left_to_people(here: Scene) -> None:
    text = "playbook: look\npaused: >\n  until the move\n  is over\nwhen: '@daily'\n"
    here.write({"schedules/nightly.yml": text})
    done = here.run("schedule resume nightly")
    assert done.code == 5
    assert "schedules/nightly.yml:2:1: the file is written in a way" in done.err
    assert "take out `paused:` yourself" in done.err
    assert (here.folder / "schedules" / "nightly.yml").read_text() == text


def test_a_pause_keeps_comments_and_the_ends_of_lines(here: Scene) -> None:
    path = here.folder / "schedules" / "nightly.yml"
    path.parent.mkdir()
    text = b"# ours\r\nplaybook: look\r\nwhen: '@daily'"
    path.write_bytes(text)
    assert here.run("schedule pause nightly").code == 0
    paused = path.read_bytes()
    assert paused.startswith(text + b"\r\npaused: since 2")
    assert paused.count(b"\n") == paused.count(b"\r\n") == 4
    assert here.run("schedule resume nightly").code == 0
    assert path.read_bytes() == text + b"\r\n"


def test_list_and_show_tell_the_file_where_the_history_is_away(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here.run("schedule add nightly --playbook look -i hosts --when 'daily at 02:30' --zone UTC").code == 0
    monkeypatch.setenv("REMEDY_HISTORY_URL", "postgresql://ops:s3cret@127.0.0.1:9/ops")
    warning = "warning: the history database postgresql://ops:***@127.0.0.1:9/ops cannot be used: "
    listed = here.run("schedule list")
    assert (listed.code, listed.err.count(warning)) == (0, 1)
    assert listed.out.splitlines()[1].split()[:3] == ["nightly", "diagnose", "look"]
    assert listed.out.splitlines()[1].endswith("02:30 UTC  ?     active")
    shown = here.run("schedule show nightly")
    assert (shown.code, shown.err.count(warning)) == (0, 1)
    assert "next 10 times:" in shown.out
    assert shown.out.endswith("\nlast times: not known now, the history cannot be read\n")
    assert _show(here)["last"] is None
    assert "s3cret" not in listed.err + shown.err
    # What would run does not run without knowing what has run.
    assert here.run("schedule run nightly").code == 4


def test_a_schedule_hands_its_variables_on_and_findings_are_its_exit_code(here: Scene) -> None:
    text = "playbook: look\nvars: {limit: 12}\nwhen: daily at 02:00\n"
    here.write({"schedules/a.yml": text, "schedules/b.yml": f"{text}fail_on: P1\n"})
    assert here.run("schedule run a").code == 10
    assert here.run("schedule run b").code == 0
    done = here.run("schedule run a --format json")
    assert json.loads(done.out)["run"]["exit_code"] == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("playbook: loook\nwhen: daily at 02:00\n",
         "schedules/bad.yml:1:11: no playbook 'loook'\n  did you mean 'look'?"),
        ("playbook: look\ninventory: prd\nwhen: daily at 02:00\n", "schedules/bad.yml:2:12: no inventory 'prd'"),
        ("playbook: look\nlimit: db1\nwhen: daily at 02:00\n",
         "schedules/bad.yml:2:8: no host and no group matches 'db1'\n  groups: all, ungrouped; 1 hosts, of which the "
         "first is box"),
        ("playbook: look\nvars: {limti: 3}\nwhen: daily at 02:00\n",
         "schedules/bad.yml:2:7: 'limti' is no variable of 'look'\n  did you mean 'limit'?"),
        ("playbook: look\nwhen: 0 0 31 2 *\n", "schedules/bad.yml:2:7: '0 0 31 2 *' names days that never come"),
        ("playbook: look\nwhen: daily at 02:00\nwindows: daily 03:00 to 04:00\n",
         "schedules/bad.yml:3:10: the windows are closed at every due time"),
        # What is near would be more days than were meant.
        ("playbook: look\nwhen: first monday at 02:00\n",
         "schedules/bad.yml:2:7: when: 'first monday' is no day\n  expected days such as daily, weekdays, sundays, "
         "'mon, thu', 'first monday of the month'"),
        ("playbook: look\nwhen: weekly at 02:00\n", "when: 'weekly' is no day\n  expected days such as daily"),
        ("playbook: look\nwhen: dialy at 02:00\n", "when: 'dialy' is no day\n  did you mean 'daily'?"),
        ("playbook: look\nwhen: daily at 02:00\nzone: ''\n",
         "schedules/bad.yml:3:7: 'zone' is the text ''\n  expected a text that is not empty"),
        ("playbook: look\nwhen: daily at 02:00\ngrace: 0\n",
         "schedules/bad.yml:3:8: with a grace of 0 s a start would mostly be too late, and be recorded as missed\n"
         "  expected at least 10 s, such as 10m"),
        ("playbook: look\nwhen: daily at 02:00\nzone: Mars/Olympus\n",
         "schedules/bad.yml:3:7: no time zone 'Mars/Olympus'"),
        ("playbook: look\nmode: play\nwhen: daily at 02:00\npermission:\n  kinds: [R]\n  at_most: 1\n"
         "  until: 2020-01-01\n  by: anna\n", "schedules/bad.yml:7:10: the permission ended on 2020-01-01"),
        ("playbook: site\nwhen: daily at 02:00\n", "'site' has no diagnose section"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_when_added(here: Scene, text: str, expected: str) -> None:
    here.write({"schedules/bad.yml": text})
    done = here.run("schedule add bad")
    assert done.code == 5
    assert expected in done.err
    assert here.run("schedule show bad").code == 5
    assert not list((here.folder / "state").glob("runs/*"))


def test_hosts_of_a_play_that_nobody_has(here: Scene) -> None:
    text = LOOK.replace("hosts: all", "hosts: box:dbz:!lab")
    here.write({"playbooks/odd.yml": text, "schedules/odd.yml": "playbook: odd\nwhen: daily at 02:00\n"})
    done = here.run("schedule add odd")
    assert done.code == 5
    assert "playbooks/odd.yml:1:10: no host and no group matches 'dbz'\n" in done.err
    run = here.run("schedule run odd")
    assert run.code == 0
    assert "odd.yml:1:10: 'box:dbz:!lab': no host and no group matches 'dbz'; that part is ignored\n" in run.err
    assert "no host and no group matches 'lab'; nobody is left out for it\n" in run.err
    here.write({"playbooks/odd.yml": text.replace(":dbz", "")})
    added = here.run("schedule add odd")
    assert (added.code, "'lab'; nobody is left out for it" in added.err) == (0, True)


@pytest.mark.parametrize("limit", ["box,bxo", "box:!bxo", "box:bxo", "box:&bxo"])
def test_a_part_of_a_limit_that_nobody_has_is_refused_when_added(here: Scene, limit: str) -> None:
    here.write({"schedules/bad.yml": f"playbook: look\nwhen: daily at 02:00\nlimit: {limit}\n"})
    done = here.run("schedule add bad")
    assert done.code == 5
    refused = "schedules/bad.yml:3:8: no host and no group matches 'bxo'\n  did you mean 'box'?\n"
    assert done.err == f"error: {refused}"
    assert refused in here.run("schedule export bad --cron").err


def test_a_limit_of_which_a_part_has_gone_runs_with_the_rest_and_says_so(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nlimit: box,gone\nwhen: daily at 02:00\n"})
    warning = "warning: --limit 'box,gone': no host and no group matches 'gone'; that part is ignored\n"
    run = here.run("schedule run nightly")
    assert (run.code, warning in run.err) == (0, True)
    shown = here.run("schedule show nightly")
    assert (shown.code, warning in shown.err) == (0, True)
    assert here.run("diagnose look -l box,gone").err.count(warning) == 1


def test_a_limit_that_nobody_matches_any_more_has_its_place_in_a_run_too(here: Scene) -> None:
    here.write({"schedules/odd.yml": "playbook: look\nwhen: daily at 02:00\nlimit: gone\n"})
    done = here.run("schedule run odd")
    assert done.code == 5
    assert done.err.startswith("error: schedules/odd.yml:3:8: no host and no group matches 'gone'\n")
    assert "no host and no group matches 'gone'" in _show(here, "odd")["last"][0]["reason"]


def test_who_adds_a_paused_schedule_is_told_that_it_rests(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: daily at 02:00\npaused: until the move\n"})
    added = here.run("schedule add nightly")
    assert added.code == 0
    resting = "warning: until `remedy schedule resume nightly` nothing runs, it is paused: until the move\n"
    assert resting in added.err


def test_a_jitter_that_takes_most_times_out_of_the_window_is_warned_of(here: Scene) -> None:
    text = "playbook: look\nwhen: daily at 02:00\nwindows: daily 02:00 to 04:00\njitter: {}\n"
    here.write({"schedules/wide.yml": text.format("20h"), "schedules/fits.yml": text.format("1h")})
    wide, fits = here.run("schedule add wide"), here.run("schedule add fits")
    assert (wide.code, fits.code) == (0, 0)
    shown = _next_times(here, "wide", 50)
    assert 0 < (lost := sum("does not run" in each["note"] for each in shown)) < 50
    assert f"warning: {lost} of the next 50 times do not run: their jitter leads out of the windows" in wide.err
    assert "jitter" not in fits.err


def _next_times(scene: Scene, name: str, number: int) -> list[dict[str, Any]]:
    return list(json.loads(scene.run(f"schedule show {name} -n {number} --format json").out)["next"])


def test_who_adds_without_a_history_is_told_that_the_file_is_there(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMEDY_HISTORY_URL", "postgresql://nobody@127.0.0.1:1/none")
    added = here.run("schedule add nightly --playbook look --when @daily --zone UTC")
    assert added.code == 4
    assert added.err.startswith("schedules/nightly.yml: 1 host, next at ")
    assert (here.folder / "schedules" / "nightly.yml").exists()


def test_an_end_is_told_where_it_matters(here: Scene) -> None:
    days = [datetime.now(UTC).date() + timedelta(days=number) for number in (-2, 2)]
    text = "playbook: look\nmode: play\nwhen: daily at 00:00\npermission: {kinds: [R], at_most: 1, until: %s, by: a}\n"
    here.write({"schedules/nightly.yml": text % days[1]})
    assert here.run("schedule add nightly").code == 0
    shown = here.run("schedule show nightly -n 4").out
    assert shown.count(f"does not run, the permission's last day is {days[1]}") == 2
    here.write({"schedules/nightly.yml": text % days[0]})
    ended = here.run("schedule show nightly -n 2")
    assert ended.code == 5
    assert "\\n" not in ended.out
    assert (
        f"state:      cannot run: schedules/nightly.yml:4:45: the permission ended on {days[0]}; expected a day that "
        "is still to come; who grants it writes a new one\n"
    ) in ended.out
    assert ended.out.count(f"does not run, the permission's last day is {days[0]}") == 2
    (row,) = json.loads(here.run("schedule list --format json").out)
    assert [each["starts"] for each in row["next"]] == [None]
    assert here.run("schedule list").out.splitlines()[1].split()[3] == "-"


def test_jitter_that_leads_out_of_the_window(here: Scene) -> None:
    """`list`, `show` and `add` mean the moment at which it starts; `due` is later than `add` says by the jitter."""
    text = "playbook: look\nwhen: daily at 02:00\njitter: {}\nwindows: daily 02:00 to 02:30\n"
    here.write({"schedules/nightly.yml": text.format("1h")})
    added = here.run("schedule add nightly")
    assert added.code == 0, added.err
    following = json.loads(here.run("schedule show nightly -n 60 --format json").out)["next"]
    runs = next(each for each in following if each["starts"])
    moment = runs["local"].removesuffix(" UTC")
    assert any(each["starts"] is None and "outside its windows" in each["note"] for each in following)
    assert f"next at {moment} UTC" in added.err
    assert moment in here.run("schedule list").out


def test_a_variable_that_nobody_knows_is_told_with_its_place(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: daily at 02:00\nvars:\n  limit: 3\n  xyz: 1\n"})
    added = here.run("schedule add nightly")
    assert added.code == 0
    assert "warning: schedules/nightly.yml:5:3: xyz: 'look' has no such variable\n" in added.err
    assert "-e" not in added.err


def test_what_is_marked_is_refused_where_the_file_asks_for_it(here: Scene) -> None:
    here.write({"playbooks/flush.yml": LOOK.replace("severity: P2}\n", "severity: P2, attended: [limit]}\n", 1)})
    text = "playbook: flush\nmode: play\nwhen: daily at 02:00\nvars:\n  limit: {}\n"
    here.write({"schedules/nightly.yml": text.format(7)})
    done = here.run("schedule add nightly")
    assert done.code == 5
    assert done.err == (
        "error: schedules/nightly.yml:5:10: 'limit' calls for what 'flush' does only by hand (!): no schedule may\n"
        "  take it out here; by hand: remedy play flush -e '{\"limit\": ...}' --yes\n"
    )
    here.write({"schedules/nightly.yml": text.format(5)})  # as the runbook has it
    assert here.run("schedule add nightly").code == 0
    here.write({"schedules/nightly.yml": text.format(7).replace("mode: play\n", "")})
    assert here.run("schedule add nightly").code == 0  # it only looks
    assert "Only by hand, with --yes (!), never in a schedule:\n  limit\n" in here.run("doc flush").out


def test_a_pause_that_nobody_added_begins_with_its_file(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: every 1 minute\ngrace: 1h\n"})
    assert here.run("schedule pause nightly --why 'the move'").code == 0
    begun = datetime.now(UTC).replace(second=0, microsecond=0)
    assert here.run("schedule run nightly --due now").code == 0
    # At most the minute that came between the two.
    assert all(datetime.fromisoformat(each["due"]) > begun for each in _show(here)["last"])


def test_a_file_that_broke_is_a_failure_of_its_unit_and_hides_nothing(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: every 1 minute\n"})
    assert here.run("schedule add nightly").code == 0
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: every 1 minit\n"})
    for due in ("now", "2026-01-01T00:00:00Z"):
        done = here.run(f"schedule run nightly --due {due}")
        assert done.code == 5
        assert "nightly: what is due does not run: its file cannot be used\n" in done.err
        assert "error: schedules/nightly.yml:2:7: when: " in done.err
    by_hand = here.run("schedule run nightly")
    assert (by_hand.code, "what is due" in by_hand.err) == (5, False)
    gone = here.run("schedule run nigthly --due now")
    assert (gone.code, "what is due" in gone.err) == (5, False)


REMOVE = """\
- hosts: all
  gather_facts: false
  runbook: {severity: P2}
  diagnose:
    - stat: {path: "{{ precious }}"}
      register: seen
    - finding: {id: there, severity: P2, title: it is there}
      when: seen.stat.exists
  tasks:
    - file: {path: "{{ precious }}", state: absent}
  verify:
    - assert: {that: true}
"""


@pytest.mark.parametrize(
    ("does", "code", "state", "reason"),
    [
        ("pause", 0, "skipped", "paused: since "),
        ("remove", 0, "skipped", "its file was removed meanwhile"),
        ("break", 5, "skipped", "its file could not be used: schedules/nightly.yml:3:7: when: "),
        ("revoke", 3, "refused", "the schedule 'nightly' may not do this: its permission is for R only"),
        ("withdraw", 3, "refused", "the schedule 'nightly' may not do this: it has no permission"),
        ("nothing", 0, "done", None),
    ],
)
def test_what_is_done_to_a_schedule_that_waits_for_its_moment_counts(
    here: Scene, monkeypatch: pytest.MonkeyPatch, does: str, code: int, state: str, reason: str | None
) -> None:
    precious = here.folder / "precious"
    precious.write_text("x")
    permission = "permission: {kinds: [D], at_most: 1, until: 2099-12-31, by: anna}\n"
    text = "playbook: gone\nmode: play\nwhen: every 1 minute\njitter: 20h\n"
    text += f"vars: {{precious: {precious}}}\n"
    here.write({"playbooks/gone.yml": REMOVE, "schedules/nightly.yml": text + permission})
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if does in ("pause", "remove"):
            assert here.run(f"schedule {does} nightly").code == 0
        elif does == "break":
            here.write({"schedules/nightly.yml": text.replace("every 1 minute", "x") + permission})
        elif does != "nothing":
            less = permission.replace("[D]", "[R]") if does == "revoke" else ""
            here.write({"schedules/nightly.yml": text + less})

    monkeypatch.setattr("remedy.cli.scheduling.time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr("remedy.schedule.turn.written_at", lambda path: None)  # long before what is due
    done = here.run("schedule run nightly --due now")
    assert len(waited) == 1, done.err
    assert done.code == code, done.err
    assert precious.exists() == (does != "nothing")
    if reason is not None:
        assert reason in done.err
    if does in ("remove", "break"):
        here.write({"schedules/nightly.yml": text + permission})
    last = _show(here)["last"][0]
    assert (last["state"], last["exit_code"]) == (state, None if does in ("pause", "remove") else code)
    assert reason is None or reason in last["reason"]


def test_a_file_from_elsewhere_is_added_whole_or_not_at_all(here: Scene) -> None:
    here.write({"draft.yml": "# ours\nplaybook: look\nwhen: daily at 2\n"})
    refused = here.run("schedule add nightly --from draft.yml")
    assert refused.code == 5
    assert "draft.yml:3:7: when: '2' is no time of day" in refused.err
    assert not (here.folder / "schedules").exists()
    here.write({"draft.yml": "# ours\nplaybook: look\nwhen: daily at 02:00\n"})
    assert here.run("schedule add nightly --from draft.yml").code == 0
    assert (here.folder / "schedules" / "nightly.yml").read_text().startswith("# ours\n")


def test_names_that_are_nearly_right(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: daily at 02:00\n"})
    assert "no schedule 'nihgtly'\n  did you mean 'nightly'?" in here.run("schedule run nihgtly").err
    assert here.run("schedule run nightly --due tomorrow").code == 5
    assert here.run("schedule export nightly").code == 5
    both = here.run("schedule export nightly --systemd --cron")
    assert (both.code, "expected either --systemd or --cron" in both.err) == (5, True)
    here.write({"playbooks/ordinary.yml": "- hosts: all\n  tasks: [{command: 'true'}]\n"})
    ordinary = here.run("schedule add other --playbook ordinary --when @daily")
    assert ordinary.code == 5
    assert "a schedule plays an ordinary playbook with `mode: play`" in ordinary.err


def test_a_broken_file_does_not_hide_the_others(here: Scene) -> None:
    here.write(
        {
            "schedules/a.yml": "playbook: look\nwhen: never\n",
            "schedules/b.yml": "playbook: look\nwhen: '@daily'\n",
        }
    )
    done = here.run("schedule list")
    assert done.code == 5
    assert "cannot be used: schedules/a.yml:2:7: when: " in done.out
    assert "b     diagnose  look" in done.out


def test_exported_units_are_what_systemd_takes(here: Scene, tmp_path: Path) -> None:
    here.write(
        {
            "schedules/nightly.yml": "title: Nightly 100%\nplaybook: look\nwhen: [sundays at 02:00, 0 4 1 * mon]\n"
            "zone: Europe/Berlin\nmissed: once\nwindows: daily 01:00 to 05:00\n",
            "vault": "secret\n",
        }
    )
    done = here.run("schedule export nightly --systemd --system --run-as daemon --vault-password-file vault")
    assert done.code == 0, done.err
    assert (
        done.out
        == here.run(
            "schedule export nightly --systemd --system --run-as daemon --vault-password-file vault"
        ).out
    )
    assert "is this machine, which the sandbox mostly hides: add --unhardened" in done.err
    open_ = here.run("schedule export nightly --systemd --system --run-as daemon --unhardened").err
    assert "this machine" not in open_
    texts = done.out.split("# /etc/systemd/system/")[1:]
    units = dict(text.split("\n", 1) for text in texts)
    assert sorted(units) == ["remedy-project-nightly.service", "remedy-project-nightly.timer"]
    timer, service = units["remedy-project-nightly.timer"], units["remedy-project-nightly.service"]
    for line in (
        "OnCalendar=Sun *-*-* 02:00:00 Europe/Berlin",
        "OnCalendar=Mon *-*-* 04:00:00 Europe/Berlin",
        "OnCalendar=*-*-01 04:00:00 Europe/Berlin",
        "OnCalendar=*-*-* 01:00:00 Europe/Berlin",
        "OnStartupSec=2min",
        "Persistent=false",
        "OnClockChange=yes",
    ):
        assert f"\n{line}\n" in timer
    assert "LoadCredential=vault-password:vault" in service
    assert "schedule run nightly --due now --vault-password-file %d/vault-password" in service
    assert "secret" not in done.out
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "systemd itself judges the units: apt-get install systemd"
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in units.items():
        # Shown as relative paths above, for comparing; systemd wants the whole ones.
        for word in ("WorkingDirectory=.", "ReadWritePaths=state", "LoadCredential=vault-password:vault"):
            text = text.replace(
                word, word.replace("=.", f"={here.folder}").replace("=state", f"={here.folder}/state")
            )
        (folder / name).write_text(text.replace(":vault\n", f":{here.folder}/vault\n"))
    argv = [analyze, "verify", *map(str, folder.iterdir())]
    verified = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_vault_password_program_is_no_credential(here: Scene) -> None:
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: '@daily'\n", "ask": "#!/bin/sh\necho x\n"})
    done = here.run("schedule export nightly --systemd --vault-password-file ask")
    assert done.code == 5
    assert "'ask' is a program, and a credential is text" in done.err


def test_an_exported_crontab(here: Scene) -> None:
    here.write(
        {
            "schedules/nightly.yml": "playbook: look\nwhen: [last friday of may at 02:00, every 15 minutes]\n"
            "zone: Europe/Berlin\n"
        }
    )
    lines = here.run("schedule export nightly --cron").out.splitlines()
    assert "CRON_TZ=Europe/Berlin" in lines
    assert lines[-2].startswith("0 2 22-31 5 *  cd . && REMEDY_STATE=state ")
    assert lines[-1].startswith("0,15,30,45 * * * *  cd . && ")
    assert lines[-1].endswith(" schedule run nightly --due now")


# What a permission covers, on real hosts

HEAL = """\
- hosts: all
  become: true
  gather_facts: false
  runbook: {severity: P2, symptoms: [none]}
  diagnose:
    - shell: cat /srv/wrong || echo gone
      args: {reads: true}
      register: seen
    - finding: {id: wrong, severity: P2, title: wrong, evidence: "{{ seen.stdout }}"}
      when: "'gone' not in seen.stdout"
  tasks:
    - name: mark it
      copy: {dest: /srv/mark, content: "was here\\n"}
    - name: restart cron
      service: {name: cron, state: restarted}
      when: "'restart' in seen.stdout"
    - name: remove it
      file: {path: /srv/wrong, state: absent}
      when: "'remove' in seen.stdout"
    - name: look again
      command: echo full
      register: again
      when: "'purge' in seen.stdout"
    - name: purge it
      mysql_binlog_purge: {end_writers: true}
      when: "'purge' in seen.stdout and again.stdout == 'full'"
  verify:
    - command: test -e /srv/mark
      args: {reads: true}
"""


@pytest.fixture(scope="module")
def two(host_factory: HostFactory) -> tuple[str, str]:
    host_factory("perm1")
    host_factory("perm2")
    return "perm1", "perm2"


class Permitted:
    """A project over two lab hosts, and a schedule with a permission."""

    def __init__(self, scene: Scene, lab: Lab, names: tuple[str, str]) -> None:
        self.scene, self.lab, self.names = scene, lab, names
        scene.write({"playbooks/heal.yml": HEAL})
        (scene.folder / "inventory" / "hosts.ini").unlink()
        write_inventory(lab, scene.folder / "inventory" / "lab.yml", only=names)

    def wrong(self, *words: str) -> None:
        """Say what is wrong on each host."""
        for name, word in zip(self.names, words, strict=True):
            script = f"rm -f /srv/mark; echo {word} > /srv/wrong"
            self.lab.run(name, ["sh", "-c", script])

    def run(self, permission: str) -> Done:
        text = f"playbook: heal\ninventory: lab\nmode: play\nwhen: '@daily'\n{permission}"
        self.scene.write({"schedules/heal.yml": text})
        return self.scene.run("schedule run heal")

    def marked(self) -> list[str]:
        return [
            name for name in self.names if not self.lab.run(name, ["test", "-e", "/srv/mark"], ok=None).code
        ]


@pytest.fixture
def permitted(scene: Scene, lab: Lab, two: tuple[str, str]) -> Permitted:
    return Permitted(scene, lab, two)


def _permission(kinds: str = "D, R", most: str = "100%", until: str = "2099-12-31") -> str:
    return f"permission: {{kinds: [{kinds}], at_most: {most}, until: {until}, by: anna@example.com}}\n"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("wrong", "permission", "expected"),
    [
        (("restart", "remove"), "", ["it has no permission", "perm1: interrupts", "perm2: destroys"]),
        (("restart", "remove"), _permission("R"),
         ["its permission is for R only", "perm2: destroys", "[remove it] (D)"]),
        (("restart", "restart"), _permission("D"), ["its permission is for D only", "[restart cron] (R)"]),
        # It frees space, and ends the sessions that wait for some: both must be permitted.
        (("purge", "remove"), _permission("D"),
         ["its permission is for D only",
          "perm1: perhaps destroys and interrupts mysql_binlog_purge  [purge it] (D R)"]),
        (("purge", "restart"), _permission("R"), ["its permission is for R only", "[purge it] (D R)"]),
        (("restart", "remove"), _permission(most="50%"),
         ["for at most 50% of 2 hosts, which is 1, and this concerns 2"]),
        (("restart", "remove"), _permission(most="1"), ["for at most 1 of 2 hosts, which is 1, and this concerns 2"]),
        (("nothing", "nothing"), _permission(until="2026-01-01"),
         ["(D and R) ended on 2026-01-01", "heal.yml:5:51: the permission"]),
    ],
)  # fmt: skip
def test_what_is_not_covered_ends_with_exit_3_before_the_first_write(
    permitted: Permitted, wrong: tuple[str, str], permission: str, expected: list[str]
) -> None:
    permitted.wrong(*wrong)
    done = permitted.run(permission)
    assert done.code == 3
    for text in expected:
        assert text in done.err
    assert permitted.marked() == []
    (last,) = _show(permitted.scene, "heal")["last"]
    assert (last["state"], last["exit_code"]) == ("refused", 3)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("wrong", "permission"),
    [
        (("restart", "remove"), _permission()),
        (("restart", "nothing"), _permission("R", "50%")),
        (("nothing", "remove"), _permission("D", "1")),
        (("nothing", "nothing"), ""),  # what neither destroys nor interrupts needs no permission
    ],
)
def test_what_is_covered_happens_unattended(
    permitted: Permitted, wrong: tuple[str, str], permission: str
) -> None:
    permitted.wrong(*wrong)
    done = permitted.run(permission)
    assert done.code == 0, done.out + done.err
    assert permitted.marked() == list(permitted.names)
    # Who allowed this stands in the run, for whoever asks later.
    (last,) = _show(permitted.scene, "heal")["last"]
    kinds = {"restart": ("restart cron", "unit:cron.service", "R"), "remove": ("remove it", "file:/srv/wrong", "D")}
    steps = [(name, *kinds[word]) for name, word in zip(permitted.names, wrong, strict=True) if word in kinds]
    told = permitted.scene.run(f"history show {last['run']}").out
    assert "\n  schedule   heal\n" in told
    assert ("\n  approved   by anna@example.com: the permission of the schedule 'heal' for " in told) == bool(steps)
    document = json.loads(permitted.scene.run(f"history show {last['run']} --format json").out)["run"]
    assert document["schedule"] == "heal"
    assert ("APPROVED: " in done.out) == bool(steps)
    for name, task, thing, letter in steps:
        assert f"\n      {name}: {task}: {thing} ({letter})\n" in told
        assert f"\n    {name}: {task}: {thing} ({letter})\n" in done.out
    if steps:
        (approval,) = document["approvals"]
        assert (approval["by"], approval["until"]) == ("anna@example.com", "2099-12-31")
        said = [(each["host"], each["task"], each["object"], *each["kinds"]) for each in approval["steps"]]
        assert sorted(said) == steps
    else:
        assert document["approvals"] == []
