"""What a rule of logrotate says, how it is amended, what a dry run tells, how much is kept; without a host."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.modules.running import Talk, params

from remedy.agent.host import Host
from remedy.agent.kinds import Failed
from remedy.errors import InputError
from remedy.modules.target import _log_growth, _log_names, _log_rules, _rotation

MAIN = """weekly
compress
su root adm
/var/log/a.log /var/log/b*.log {
  daily
  nocompress
  size=2M
  create 0640 app app  # like before
  postrotate
    echo "}"
    kill -HUP 1
  endscript
}
"""


def parsed(text):
    found = _rotation.parts(text, "/etc/x")
    return found, [part for part in found if isinstance(part, _rotation.Rule)]


def test_the_options_that_hold_for_a_rule():
    found, [rule] = parsed(MAIN)
    known = _rotation.effective(found, rule)
    assert (known["compress"], known["su"], known["size"], known["daily"]) == (False, "root adm", "2M", True)
    assert known["postrotate"] == 'echo "}"\nkill -HUP 1'
    assert known["create"].startswith("0640 app app")


def test_what_is_added_stands_at_the_end_and_wins():
    _, [rule] = parsed(MAIN)
    text = rule.amended(["compress", "delaycompress"])
    assert text == rule.text[: rule.text.rindex("}")] + "\tcompress\n\tdelaycompress\n}\n"
    _, [again] = parsed(text)
    assert again.options()["compress"] is True
    assert again.patterns == rule.patterns


def test_a_rule_on_one_line_and_one_with_text_behind_it():
    _, [rule] = parsed("/var/log/e.log { daily }\n")
    assert rule.amended(["compress"]) == "/var/log/e.log { daily\n\tcompress\n}\n"
    _, [rule] = parsed("/var/log/e.log {\n daily\n} # so\n")
    with pytest.raises(Failed, match="text follows the rule's brace"):
        rule.amended(["compress"])


def test_a_dry_run_tells_where_an_error_stands_and_what_would_help():
    dry = _rotation.Dry(
        "reading config file /etc/logrotate.conf\nincluding /etc/logrotate.d\nreading config file shop\n"
        "error: shop:3 unknown option 'rotato' -- ignoring line\nerror: found error in file shop, skipping\n"
        "error: Ignoring loose because it is writable by group or others.\n"
        "considering log /var/log/a b.log\n  log needs rotating\n"
        'considering log /srv/app/a.log\nerror: skipping "/srv/app/a.log" because parent directory has insecure '
        'permissions (It\'s world writable or writable by group which is not "root") Set "su" directive\n'
        "considering log /srv/gone.log\nerror: stat of /srv/gone.log failed: No such file or directory\n"
    )
    assert [(each["file"], each["log"], each["mend"]) for each in dry.errors] == [
        ("/etc/logrotate.d/shop", None, None),
        ("/etc/logrotate.d/loose", None, None),
        (None, "/srv/app/a.log", "su"),
        (None, "/srv/gone.log", "missingok"),
    ]
    assert dry.considered == ["/var/log/a b.log", "/srv/app/a.log", "/srv/gone.log"]
    assert dry.due == ["/var/log/a b.log"]


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("/var/log/app.log.1", "/var/log/app.log"),
        ("/var/log/app.log-20240131", "/var/log/app.log"),
        ("/var/log/app.log-20240131175502", "/var/log/app.log"),
        ("/var/log/app-20240131.log", "/var/log/app.log"),
        ("/var/log/syslog.2", "/var/log/syslog"),
        ("/var/log/app.log.1-2024013117.backup", "/var/log/app.log"),
        ("/var/log/app.log.1.gz-2024013117.backup", "/var/log/app.log"),
        ("/var/log/app.log-20240131-2024013117.backup", "/var/log/app.log"),
        ("/var/log/syslog.1-2024013117.backup.gz", "/var/log/syslog"),
        ("/var/log/nightly.backup", None),
        ("/var/log/app.log", None),
        ("/var/log/worker-3.log", None),
    ],
)
def test_what_a_file_was_rotated_from(path, log):
    assert _log_names.log_of(path) == log


@given(
    st.integers(0, 10**12),
    st.integers(0, 50),
    st.floats(1, 50),
    st.booleans(),
    st.booleans(),
    st.integers(0, 40),
)
def test_what_is_kept_fits_in_the_room_there_is(daily, free, share, packs, delayed, had):
    room = _log_rules.Room.__new__(_log_rules.Room)
    room.total, room.free, room.daily, room.current, room.rotated = 100 << 30, free << 30, daily, 0, 0
    room.share = share
    room.allowed = int(min(room.total * share / 100, room.free / 2))
    each = room.rotation("daily", room.size())
    count = room.keep(each, packs, delayed, had)
    assert 1 <= count <= 40
    if count > 1:
        assert room.need(count, each, packs, delayed) <= room.allowed * 1.25
    assert 1 << 20 <= room.size() <= 100 << 20


def test_growth_is_told_of_more_logs_than_a_command_line_takes(tmp_path):
    folder = tmp_path.joinpath(*["x" * 250] * 8)
    folder.mkdir(parents=True)
    paths = [str(folder / f"{number}.log") for number in range(1100)]
    for path in paths:
        Path(path).write_text("a line\n")
    assert sum(map(len, paths)) > os.sysconf("SC_ARG_MAX")
    assert _log_growth.growth(Host(Talk()), paths, 0.01) == dict.fromkeys(paths, 0)


def test_who_must_rotate_where_others_may_write(tmp_path):
    log = tmp_path / "a.log"
    log.touch()
    tmp_path.chmod(0o755)
    assert _log_rules.su(str(log), "app", "app") is None
    tmp_path.chmod(0o1777)
    assert _log_rules.su(str(log), "app", "app") == "app app"
    with pytest.raises(Failed, match="can be written by everybody, and the log is root's"):
        _log_rules.su(str(log), "root", "root")
    os.chown(tmp_path, 0, 4)
    tmp_path.chmod(0o775)
    assert _log_rules.su(str(log), "root", "root") == "root adm"


@pytest.mark.parametrize(
    ("module", "given_params", "text"),
    [
        ("log_rotation", {"signals": {"shop": "_DFL"}}, "expected a name such as HUP or USR1"),
        ("log_rotation", {"signals": {"shop": "TERM"}}, "signal 'TERM' ends or halts a service"),
        ("logrotate_rule", {"paths": ["/a.log"], "signals": {"shop": "KILL"}}, "signal 'KILL' ends or halts"),
        ("log_rotation", {"paths": ["/var/log", "/var/"]}, "path '/var/' holds more than logs"),
        ("log_rotation", {"paths": ["/"]}, "path '/' holds more than logs"),
        ("log_rotation", {"min_size": -1}, "min_size is 0 or more"),
        ("log_rotation", {"min_growth": -5}, "min_growth is 0 or more"),
        ("logrotate_rule", {"paths": ["app.log"]}, "paths must be absolute"),
        ("logrotate_rule", {"paths": []}, "give at least one path"),
        ("logrotate_rule", {"paths": ['/a"b.log']}, "cannot take quotes"),
        ("logrotate_rule", {"paths": ["/var/log/**"]}, "cannot take quotes"),
        ("logrotate_rule", {"paths": ["/a.log"], "name": "a.bak"}, "expected letters, digits, - and _"),
        ("logrotate_rule", {"paths": ["/a.log"], "keep": "0"}, "expected auto, or 1 to 1000"),
        ("logrotate_rule", {"paths": ["/a.log"], "create": "app app 0640"}, "expected mode, owner and group"),
        (
            "logrotate_rule",
            {"paths": ["/a.log"], "amend": ["all"]},
            "expected compress, su, missingok, reopen",
        ),
        (
            "logrotate_rule",
            {"paths": ["/a.log"], "signals": {"x": "SIGHUP"}},
            "expected a name such as HUP or USR1",
        ),
        ("log_rotation", {"sample": "5m"}, "sample is 0 to 60 seconds"),
        ("log_reopen", {"paths": ["a.log"]}, "paths must be absolute"),
        ("log_compress", {"paths": ["/a.log.1"], "level": 10}, "level is 1 to 9"),
        ("docker_log_options", {"max_file": 0}, "max_file is 1 to 1000"),
        ("docker_log_options", {"max_size": "1K"}, "max_size is at least 64K"),
    ],
)
def test_what_cannot_be_meant_is_refused(module, given_params, text):
    with pytest.raises(InputError, match=text):
        params(module, **given_params)
