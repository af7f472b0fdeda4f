"""What an exported schedule is given: the sandbox, credentials, the addresses of those it tells, the right history."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from remedy.cli.schedule_given import _open
from tests.acceptance.cli import LOCAL, Scene

LOOK = """\
- hosts: all
  gather_facts: false
  runbook: {severity: P2}
  diagnose:
    - finding: {id: odd, severity: P2, title: odd, evidence: 1}
"""
SYSTEMD = "schedule export nightly --systemd --system --run-as daemon"


@pytest.fixture
def here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.delenv("REMEDY_HISTORY_URL", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = "playbook: look\nwhen: '@daily'\n"
    scene.write(
        {
            "inventory/hosts.yml": LOCAL,
            "inventory/hosts.ini": "",
            "playbooks/look.yml": LOOK,
            "schedules/nightly.yml": text,
            "schedules/telling.yml": f"{text}notify: [ops]\n",
        }
    )
    (scene.folder / "inventory" / "hosts.ini").unlink()
    return scene


def _service(out: str) -> str:
    return out.partition("nightly.service\n")[2]


def test_the_sandbox_leaves_little_in_systemds_own_judgement(here: Scene, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "systemd itself judges the units: apt-get install systemd"

    def judged(words: str) -> tuple[float, set[str]]:
        unit = tmp_path / "judged.service"
        text = _service(here.run(f"{SYSTEMD} {words}").out)
        for word in ("WorkingDirectory=.", "ReadWritePaths=state"):  # shown as relative paths
            text = text.replace(f"{word}\n", f"{word.partition('=')[0]}={here.folder}\n")
        unit.write_text(text)
        argv = [analyze, "security", "--offline=yes", "--json=short", "--no-pager", str(unit)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        rows = json.loads(done.stdout)
        exposed = sum(float(row["exposure"] or 0) for row in rows)
        return exposed, {str(row["json_field"]) for row in rows if row["set"]}

    exposed, kept = judged("")
    wanted = {
        "NoNewPrivileges", "ProtectSystem", "PrivateTmp", "PrivateDevices", "ProtectKernelTunables",
        "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
        "LockPersonality", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures",
    }  # fmt: skip
    assert kept >= wanted
    open_, kept = judged("--unhardened")
    assert not kept & wanted
    assert exposed < open_ / 3


def test_a_sqlite_history_elsewhere_may_be_written(here: Scene, tmp_path: Path) -> None:
    state = "ReadWritePaths=state\n"
    assert [line for line in here.run(SYSTEMD).out.splitlines(True) if "ReadWritePaths" in line] == [state]
    elsewhere = tmp_path / "the history"
    elsewhere.mkdir()
    for url, more in (
        (f"sqlite:///{elsewhere}/h.db", [f'ReadWritePaths="-{elsewhere}"\n']),
        (f"sqlite:///{here.folder}/state/h.db", []),
        (f"sqlite:///{here.folder}/state/deep/h.db", []),
        ("postgresql://ops@db.example.com/ops", []),
    ):
        here.write({"remedy.yml": f"state: state\nhistory: {url}\n"})
        done = here.run(SYSTEMD)
        assert done.code == 0, done.err
        assert [line for line in done.out.splitlines(True) if "ReadWritePaths" in line] == [state, *more]
        # In a user's own manager there is no such sandbox.
        assert "ReadWritePaths" not in here.run("schedule export nightly --systemd --user").out


@pytest.mark.parametrize("way", [SYSTEMD, "schedule export nightly --cron"])
def test_a_history_that_only_the_environment_names_is_refused(
    here: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    monkeypatch.setenv("REMEDY_HISTORY_URL", "postgresql://ops:s3cret@db.example.com/ops")
    refused = here.run(way)
    assert (refused.code, refused.out) == (5, "")
    assert refused.err == (
        "error: REMEDY_HISTORY_URL names another history than what is exported would use: a due time could run twice\n"
        "  write it as `history:` in remedy.yml, a password into ~/.pgpass: a URL may hold one, and is not written "
        "into units and crontabs\n"
    )
    # The same one, whose password the account has from elsewhere.
    here.write({"remedy.yml": "state: state\nhistory: postgres://ops@db.example.com/ops\n"})
    done = here.run(way)
    assert done.code == 0, done.err
    assert "s3cret" not in done.out + done.err
    here.write({"remedy.yml": "state: state\nhistory: postgresql://ops@db.example.com/other\n"})
    assert here.run(way).code == 5
    # Files: the one in the state folder, however it is named, and another one.
    here.write({"remedy.yml": "state: state\n"})
    monkeypatch.setenv("REMEDY_HISTORY_URL", f"sqlite:///{here.folder}/schedules/../state/history.db")
    assert here.run(way).code == 0
    monkeypatch.setenv("REMEDY_HISTORY_URL", f"sqlite:///{tmp_path}/h.db")
    assert here.run(way).code == 5
    here.write({"remedy.yml": f"state: state\nhistory: sqlite:///{tmp_path}/h.db\n"})
    assert here.run(way).code == 0
    monkeypatch.setenv("REMEDY_HISTORY_URL", "nonsense")
    assert here.run(way).code == 5


def test_files_become_credentials_of_the_service(here: Scene) -> None:
    here.write({"secrets/a=b 100%": "x", "secrets/other": "y"})
    argv = [*SYSTEMD.split(), "--credential", "ops=secrets/a=b 100%", "--credential", "db.pass-1=secrets/other"]
    done = here.run(argv)
    assert done.code == 0, done.err
    assert "\nLoadCredential=db.pass-1:secrets/other\nLoadCredential=ops:secrets/a=b 100%%\n" in done.out
    assert "%d/ops" not in done.out  # they are found by their folder, not on the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--credential", "ops"], "--credential 'ops'\n  expected NAME=FILE"),
        (["--credential", "=vault"], "--credential '=vault'\n"),
        (["--credential", "ops="], "--credential 'ops='\n"),
        (["--credential", "../ops=vault"], "--credential '../ops=vault'\n"),
        (["--credential", "..=vault"], "--credential '..=vault'\n"),
        (["--credential", "a:b=vault"], "--credential 'a:b=vault'\n"),
        (["--credential", "ops=gone"], "no file 'gone'\n"),
        (["--credential", "ops=schedules"], "no file 'schedules'\n"),
        (["--credential", "a=vault", "--credential", "a=vault"], "the credential 'a' twice\n"),
        (["--credential", "vault-password=vault"], "the credential 'vault-password' has a flag of its own\n"),
        (["--credential", "private-key=vault"], "the credential 'private-key' has a flag of its own\n"),
    ],
)
def test_what_cannot_be_a_credential_is_refused(here: Scene, words: list[str], message: str) -> None:
    here.write({"vault": "secret\n"})
    done = here.run([*SYSTEMD.split(), *words])
    assert (done.code, done.out) == (5, "")
    assert message in done.err


def test_cron_gives_no_credentials(here: Scene) -> None:
    here.write({"vault": "secret\n"})
    done = here.run("schedule export nightly --cron --credential ops=vault")
    assert done.code == 5
    assert "--credential is for --systemd\n  cron gives no files" in done.err


def test_an_address_that_is_a_credential_is_given_at_the_export(here: Scene) -> None:
    export = SYSTEMD.replace("nightly", "telling")
    here.write(
        {
            "notifications.yml": "ops: {url_file: $CREDENTIALS_DIRECTORY/chat}\n",
            "chat": "json://127.0.0.1:9/t0ken\n",
            "wrong": "jsn://127.0.0.1:9/t0ken\n",
        }
    )
    added = here.run("schedule add telling")  # it cannot be here yet
    assert added.code == 0, added.err
    assert here.run("schedule show telling").code == 0
    refused = here.run(export)
    assert (refused.code, refused.out) == (5, "")
    needs = "'ops' takes its address from the credential chat, which "
    assert f"notifications.yml:1:17: {needs}the service is not given" in refused.err
    assert "add --credential chat=FILE" in refused.err
    assert here.run(f"{export} --credential ops=chat").code == 5
    given = here.run(f"{export} --credential chat=chat")
    assert given.code == 0, given.err
    assert "\nLoadCredential=chat:chat\n" in given.out
    wrong = here.run(f"{export} --credential chat=wrong")
    assert wrong.code == 5
    assert "did you mean 'json'?" in wrong.err
    assert "t0ken" not in given.out + given.err + wrong.err
    cron = here.run("schedule export telling --cron")
    assert cron.code == 5
    assert f"{needs}cron cannot give" in cron.err
    # A slip in the rest of it is found all the same, and a run says what it lacks.
    told = here.run("notify test ops")
    assert told.code == 5
    assert "no credential 'chat' here: this is no service" in told.err
    here.write({"notifications.yml": "ops: {url_file: '${CREDENTIALS_DIRECTORY}/chat', events: [fail]}\n"})
    slip = here.run("schedule add telling")
    assert (slip.code, "expected failed, refused" in slip.err) == (5, True)


def test_an_address_from_the_environment_is_warned_of(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    here.write({"notifications.yml": "ops: {url_env: REMEDY_TEST_OPS}\n"})
    assert here.run("schedule add telling").code == 5
    monkeypatch.setenv("REMEDY_TEST_OPS", "json://127.0.0.1:9/t0ken")
    warning = "warning: 'ops' takes its address from the variable REMEDY_TEST_OPS, which "
    service = here.run(SYSTEMD.replace("nightly", "telling"))
    assert service.code == 0
    assert f"{warning}the service does not have: name a file instead" in service.err
    cron = here.run("schedule export telling --cron")
    assert cron.code == 0
    assert f"{warning}cron does not have: set it in the crontab" in cron.err
    assert "t0ken" not in service.out + service.err + cron.out + cron.err
    assert warning not in here.run(SYSTEMD).err  # who tells nobody needs none


def test_a_dollar_in_a_folder_is_one_and_a_link_leads_to_where_the_history_is_written(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real $ 1%"
    real.mkdir()
    (tmp_path / "link.db").symlink_to(real / "h.db")
    here.write({"remedy.yml": f"history: sqlite:///{tmp_path}/link.db\n"})
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "st$te"))
    service = _service(here.run(f"{SYSTEMD} --unhardened").out + here.run(SYSTEMD).out)
    assert f'Environment="REMEDY_STATE={tmp_path}/st$te"' in service
    assert f'ReadWritePaths="-{tmp_path}/real $ 1%%"' in service


def test_what_its_account_cannot_reach_is_warned_of(here: Scene) -> None:
    """The tests' own folders lie below /tmp, in one that only root may enter."""
    sandboxed = here.run(SYSTEMD).err
    assert "the state folder (state) is below /tmp, of which the sandbox has one of its own" in sandboxed
    open_ = here.run(f"{SYSTEMD} --unhardened").err
    assert "warning: daemon may not enter " in open_
    assert "and so not reach the state folder (state): move it" in open_
    assert "warning" not in here.run("schedule export nightly --systemd --system --run-as root --unhardened").err


def test_a_folder_is_open_to_its_owner_its_group_and_others_by_its_mode(tmp_path: Path) -> None:
    """So also to root, which has no powers in the sandbox."""
    folder = tmp_path / "away"
    folder.mkdir()
    os.chown(folder, 1, 2)
    for mode, uid, groups, expected in (
        (0o700, 0, [0], False), (0o700, 1, [9], True), (0o750, 0, [0, 2], True),
        (0o707, 0, [2], False), (0o705, 0, [0], True),
    ):  # fmt: skip
        folder.chmod(mode)
        assert _open(folder, uid, groups) is expected, (oct(mode), uid, groups)
    assert _open(folder / "to be made", 0, [])


def test_remove_takes_the_units_away_where_systemd_is_not_at_work(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("remedy.cli.schedule_install._BOOTED", tmp_path / "none")
    install = here.run("schedule export nightly --systemd --user --install")
    assert install.code != 0, "no manager answers here"
    units = sorted((tmp_path / "config/systemd/user").iterdir())
    assert [path.suffix for path in units] == [".service", ".timer"]
    done = here.run("schedule remove nightly")
    assert done.code == 0, done.err
    assert "systemd is not at work here: " in done.err
    assert not any(path.exists() for path in units)
    assert not (here.folder / "schedules" / "nightly.yml").exists()


def test_a_timer_of_an_older_plan_is_noticed(here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("remedy.cli.schedule_install._SYSTEM", tmp_path / "system")

    def told() -> tuple[str, str, str, list[bool]]:
        """Return what add, list and show say of who starts it."""
        added = here.run("schedule add nightly").err.splitlines()[1:]
        (line,) = [line for line in here.run("schedule list").out.splitlines() if line.startswith("nightly ")]
        lines = here.run("schedule show nightly").out.splitlines()
        timers = json.loads(here.run("schedule show nightly --format json").out)["timers"]
        shown = " ".join(each for each in lines if each.startswith("timer:"))
        return " ".join(added), line.partition("active")[2], shown, [each["current"] for each in timers]

    again = "export again: remedy schedule export nightly --systemd --install"
    assert told() == (
        "nothing starts it yet: remedy schedule export nightly --systemd --install, or remedy scheduler",
        "; no daemon and no timer here starts it", "", [],
    )  # fmt: skip
    here.run("schedule export nightly --systemd --user --install")
    unit = next((tmp_path / "config/systemd/user").glob("*.timer"))
    shown = str(unit)
    added, listed, timer, current = told()
    assert added == f"the installed timer is not enabled ({shown}): {again}", "no manager answers here"
    assert (listed, timer) == (f"; the installed timer is not enabled: {again}", f"timer:      {added}")
    # What systemctl enable does.
    link = unit.parent / "timers.target.wants" / unit.name
    link.parent.mkdir()
    link.symlink_to(unit)
    added, listed, timer, current = told()
    assert added == f"an installed timer starts it: {shown}"
    assert (listed, timer, current) == ("", f"timer:      {added}", [True])

    # Another title is another text, and fires at the same times.
    here.write({"schedules/nightly.yml": "title: Ours\nplaybook: look\nwhen: '@daily'\n"})
    assert told()[3] == [True]
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: daily at 03:00\n"})
    added, listed, timer, current = told()
    assert added == f"the installed timer is of an older plan ({shown}): {again}"
    assert (listed, timer) == (f"; the installed timer is of an older plan: {again}", f"timer:      {added}")
    assert current == [False]
    here.run("schedule export nightly --systemd --user --install")
    assert told()[3] == [True]
    # One of another project, whose folder has the same name.
    service = unit.with_suffix(".service")
    service.write_text(service.read_text().replace("WorkingDirectory=", "WorkingDirectory=/elsewhere"))
    assert told()[3] == []


def test_who_has_no_home_folder_has_no_timer_of_his_own(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose account has no entry in the password file."""

    def none() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    for words in ("add nightly", "list", "show nightly"):
        done = here.run(f"schedule {words}")
        assert done.code == 0, done.err


def test_lines_for_cron_warn_of_a_zone_that_is_not_the_machines(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert here.run("schedule export nightly --cron").err.startswith(
        "warning: the schedule's zone is UTC, this machine's is Europe/Berlin: a cron that does not know CRON_TZ"
    )
    here.write({"schedules/nightly.yml": "playbook: look\nwhen: '@daily'\nzone: Europe/Paris\n"})
    done = here.run("schedule export nightly --cron")
    assert (done.code, done.err) == (0, "")
    assert "\nCRON_TZ=Europe/Paris\n" in done.out
    monkeypatch.setenv("TZ", "America/Argentina")  # a folder of zones: cron's clock is not known
    assert (here.run("schedule export nightly --cron").code, done.err) == (0, "")
