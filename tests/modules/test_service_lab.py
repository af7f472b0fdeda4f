"""service: real units of a booted host."""

import pytest
from tests.modules.running import in_lab, params, run, step

from remedy.errors import InputError

pytestmark = pytest.mark.lab

UNITS = {
    "app.service": "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/touch /run/reloaded\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "plain.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "once.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /run/once'\n",
    "broken.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo no colour left; exit 7'\n",
    "crash.service": "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=60\n",
    "other.service": "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nAlias=nickname.service\n",
    "inst@.service": "[Service]\nExecStart=/bin/sleep infinity\n",
}


@pytest.fixture(scope="module")
def made(lab, host_factory):
    host = host_factory("units").name
    for name, text in UNITS.items():
        lab.put(host, f"/usr/lib/systemd/system/{name}", text.encode())
    lab.run(host, ["systemctl", "daemon-reload"])
    lab.run(host, ["systemctl", "enable", "other"])
    return host


@pytest.fixture
def host(lab, made):
    yield made
    lab.run(made, ["systemctl", "unmask", "app", "plain"], ok=None)
    lab.run(made, ["systemctl", "disable", "--now", "app", "plain"], ok=None)
    lab.run(made, ["systemctl", "stop", *UNITS], ok=None)
    lab.run(made, ["systemctl", "reset-failed"], ok=None)


def one(lab, host, **given):
    [frame] = in_lab(lab, host, step("service", **given))
    return frame


def is_(lab, host, what, unit):
    return lab.run(host, ["systemctl", f"is-{what}", unit], ok=None).stdout.strip()


def pid(lab, host, unit):
    return lab.run(host, ["systemctl", "show", "-P", "MainPID", unit]).stdout.strip()


def undo(lab, host, frame, **given):
    back = step("service", **given)
    change = frame["change"]
    back.update(op="undo", kept={"state": change["before"]}, expect=[change["after"]])
    [done] = in_lab(lab, host, back)
    return done


def test_started_and_enabled_are_states(lab, host):
    wanted = {"name": "app", "state": "started", "enabled": True}
    [seen] = in_lab(lab, host, step("service", in_check=True, **wanted))
    assert seen["status"] == "changed"
    assert is_(lab, host, "active", "app") == "inactive", "check mode only looks"
    frame = one(lab, host, **wanted)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["object"] == "unit:app.service"
    assert frame["change"]["before"] == {"active": "stopped", "enabled": "disabled"}
    assert frame["change"]["after"] == {"active": "started", "enabled": "enabled"}
    assert frame["result"]["name"] == "app.service"
    assert (frame["result"]["state"], frame["result"]["enabled"]) == ("started", True)
    assert frame["result"]["status"]["ActiveState"] == "active"
    assert (is_(lab, host, "active", "app"), is_(lab, host, "enabled", "app")) == ("active", "enabled")
    again = one(lab, host, **wanted)
    assert (again["status"], again["reason"]) == ("ok", "already started and enabled")
    back = undo(lab, host, frame, **wanted)
    assert back["status"] == "changed", back["reason"]
    assert (is_(lab, host, "active", "app"), is_(lab, host, "enabled", "app")) == ("inactive", "disabled")


def test_stopped_disabled_and_masked_are_states_too(lab, host):
    one(lab, host, name="app", state="started", enabled=True)
    wanted = {"name": "app.service", "state": "stopped", "enabled": False, "masked": True}
    frame = one(lab, host, **wanted)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["before"] == {"active": "started", "enabled": "enabled", "masked": False}
    assert (is_(lab, host, "active", "app"), is_(lab, host, "enabled", "app")) == ("inactive", "masked")
    assert one(lab, host, **wanted)["status"] == "ok"
    back = undo(lab, host, frame, **wanted)
    assert back["status"] == "changed", back["reason"]
    assert (is_(lab, host, "active", "app"), is_(lab, host, "enabled", "app")) == ("active", "enabled")


def test_undo_leaves_alone_what_somebody_changed_since(lab, host):
    frame = one(lab, host, name="app", state="started")
    lab.run(host, ["systemctl", "stop", "app"])
    lab.run(host, ["systemctl", "mask", "--runtime", "app"])
    lab.run(host, ["systemctl", "unmask", "--runtime", "app"])
    back = undo(lab, host, frame, name="app", state="started")
    assert back["status"] == "ok"
    assert back["reason"] == "already as before the change"


def test_a_restart_is_a_new_invocation(lab, host):
    one(lab, host, name="app", state="started")
    before = pid(lab, host, "app")
    [seen] = in_lab(lab, host, step("service", in_check=True, name="app", state="restarted"))
    assert (seen["status"], pid(lab, host, "app")) == ("changed", before)
    frame = one(lab, host, name="app", state="restarted")
    assert frame["status"] == "changed", frame["reason"]
    assert pid(lab, host, "app") not in (before, "0")
    change = frame["change"]
    assert (change["kind"], seen["change"]["happened"], change["happened"]) == (
        "action",
        "restarted",
        "restarted",
    )
    assert change["before"]["InvocationID"] != change["after"]["InvocationID"]
    assert frame["result"]["state"] == "started"
    assert one(lab, host, name="app", state="restarted")["status"] == "changed", "an act is always a change"


def test_a_restart_starts_and_enables_what_is_not(lab, host):
    frame = one(lab, host, name="app", state="restarted", enabled=True)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["happened"] == "started"
    assert (is_(lab, host, "active", "app"), is_(lab, host, "enabled", "app")) == ("active", "enabled")


def test_a_reload_keeps_the_process(lab, host):
    one(lab, host, name="app", state="started")
    before = pid(lab, host, "app")
    frame = one(lab, host, name="app", state="reloaded")
    assert frame["status"] == "changed", frame["reason"]
    assert pid(lab, host, "app") == before
    assert frame["change"]["happened"] == "reloaded"
    lab.run(host, ["rm", "/run/reloaded"])


def test_what_cannot_reload_says_so(lab, host):
    one(lab, host, name="plain", state="started")
    frame = one(lab, host, name="plain", state="reloaded")
    assert frame["status"] == "failed"
    assert frame["reason"] == "plain.service cannot reload: its unit has no ExecReload; use state: restarted"


def test_a_oneshot_unit_that_ran_well_is_started(lab, host):
    frame = one(lab, host, name="once", state="started")
    assert frame["status"] == "changed", frame["reason"]
    frame = one(lab, host, name="once", state="restarted")
    assert frame["status"] == "changed", frame["reason"]
    assert lab.run(host, ["cat", "/run/once"]).stdout == "ran\nran\n"


def test_a_unit_that_does_not_start_tells_its_last_words(lab, host):
    frame = one(lab, host, name="broken", state="started")
    assert frame["status"] == "failed"
    assert frame["reason"].startswith("cannot start broken.service: Job for broken.service failed")
    assert "no colour left" in frame["reason"]


def test_a_unit_that_crashes_is_not_started(lab, host):
    lab.run(host, ["systemctl", "start", "crash"])
    lab.run(host, ["sh", "-c", "until systemctl show crash -P SubState | grep -q auto-restart; do :; done"])
    [seen] = in_lab(lab, host, step("service", in_check=True, name="crash", state="started"))
    assert seen["change"]["before"] == {"active": "stopped"}


def test_an_alias_is_its_unit(lab, host):
    frame = one(lab, host, name="nickname", state="started", enabled=True)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["object"] == "unit:other.service"
    assert frame["change"]["after"] == {"active": "started", "enabled": "enabled"}


def test_an_instance_of_a_template_works(lab, host):
    frame = one(lab, host, name="inst@7", state="started")
    assert frame["object"] == "unit:inst@7.service"
    assert is_(lab, host, "active", "inst@7") == "active"
    lab.run(host, ["systemctl", "stop", "inst@7"])


def test_a_static_unit_is_left_as_it_is(lab, host):
    assert one(lab, host, name="plain", enabled=True)["status"] == "ok"
    frame = one(lab, host, name="plain", enabled=False)
    assert frame["status"] == "ok"
    assert frame["warnings"] == ["plain is static: it cannot be disabled; masked can keep it down"]


def test_changed_unit_files_are_read_again_when_asked_for(lab, host):
    one(lab, host, name="plain", state="started")
    lab.put(host, "/usr/lib/systemd/system/plain.service", b"[Service]\nExecStart=/bin/sleep 7777\n")
    frame = one(lab, host, name="plain", state="started", daemon_reload=True)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["before"] == {"active": "started", "reload_needed": True}
    assert one(lab, host, name="plain", state="started", daemon_reload=True)["status"] == "ok"
    lab.put(host, "/usr/lib/systemd/system/plain.service", UNITS["plain.service"].encode())
    alone = one(lab, host, daemon_reload=True)
    assert (alone["status"], alone["object"]) == ("changed", "systemd:system")
    assert lab.run(host, ["systemctl", "show", "-P", "NeedDaemonReload", "plain"]).stdout == "no\n"


def test_a_unit_that_does_not_exist_is_named_with_the_nearest(lab, host):
    frame = one(lab, host, name="appp", state="started")
    assert frame["status"] == "failed"
    assert frame["reason"] == "there is no unit appp.service on this host; did you mean app.service?"
    frame = one(lab, host, name="zookeeper", state="started")
    assert frame["reason"] == (
        "there is no unit zookeeper.service on this host; install what brings it, or correct name"
    )


def test_in_check_mode_a_missing_unit_may_still_be_installed(lab, host):
    [frame] = in_lab(lab, host, step("service", in_check=True, name="zookeeper", state="started"))
    assert (frame["status"], frame["reason"]) == ("unknown", "the unit zookeeper does not exist (yet)")
    [frame] = in_lab(lab, host, step("service", in_check=True, name="appp", state="started"))
    assert frame["status"] == "failed"


def test_a_unit_can_be_masked_before_it_exists(lab, host):
    wanted = {"name": "later.service", "masked": True}
    frame = one(lab, host, **wanted)
    assert frame["status"] == "changed", frame["reason"]
    assert one(lab, host, **wanted)["status"] == "ok"
    assert undo(lab, host, frame, **wanted)["status"] == "changed"
    assert is_(lab, host, "enabled", "later") != "masked"


def test_a_unit_of_the_administrators_own_cannot_be_masked(lab, host):
    lab.put(host, "/etc/systemd/system/own.service", UNITS["plain.service"].encode())
    frame = one(lab, host, name="own", masked=True)
    assert frame["status"] == "failed"
    assert "a unit whose own file is in /etc/systemd/system cannot be masked" in frame["reason"]


def test_no_block_does_not_wait(lab, host):
    frame = one(lab, host, name="app", state="started", no_block=True)
    assert frame["status"] == "changed", frame["reason"]
    lab.run(host, ["sh", "-c", "until systemctl is-active app; do :; done"])


def test_without_the_right_to_it_the_cause_is_permission(lab, host):
    sources = step("service", name="app", state="started")
    [frame] = in_lab(lab, host, sources, user="plain")
    assert frame["status"] == "failed"
    assert frame["result"]["cause"] == "permission"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"state": "started"}, "'state' needs a name"),
        ({"name": "x"}, "give a state, enabled, masked, daemon_reload or daemon_reexec"),
        ({"name": "x", "scope": "global", "state": "started"}, "scope global only enables and masks"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(args, text):
    with pytest.raises(InputError, match=text):
        params("service", **args)


def test_without_systemd_the_service_program_does_it(tmp_path, monkeypatch):
    """An init script on this machine stands for a host without systemd."""
    from remedy.modules.target import _sysv, service

    script = tmp_path / "daemon"
    script.write_text(
        f"#!/bin/sh\ncase $1 in start|restart) touch {tmp_path}/up;; stop) rm {tmp_path}/up;;"
        f" status) test -e {tmp_path}/up || exit 3;; esac\n"
    )
    script.chmod(0o755)
    program = tmp_path / "service"
    program.write_text(f"#!/bin/sh\nexec {tmp_path}/$1 $2\n")
    program.chmod(0o755)
    monkeypatch.setattr(_sysv, "FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(service, "booted", lambda: False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert run("service", name="daemon", state="started")["status"] == "changed"
    assert run("service", name="daemon", state="started")["status"] == "ok"
    assert run("service", name="daemon", state="restarted")["status"] == "changed"
    assert run("service", name="daemon", state="stopped")["status"] == "changed"
    assert not (tmp_path / "up").exists()
    frame = run("service", name="daemon", state="started", enabled=True)
    assert frame["reason"] == "no systemd runs this host: 'enabled' needs one; only state works here"
    assert run("service", daemon_reload=True)["status"] == "failed"
    frame = run("service", name="demon", state="started")
    assert frame["reason"].startswith("no systemd runs this host, and there is no init script demon")
