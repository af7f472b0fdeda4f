"""command, shell and raw: what the user wrote is run, and told as Ansible tells it."""

import errno
import os
from importlib import import_module
from pathlib import Path

import pytest
from tests.modules.running import Talk, params, run

from remedy.agent import process
from remedy.agent.host import Host
from remedy.agent.kinds import Failed
from remedy.errors import InputError

NOBODY = 65534


def test_a_command_returns_what_ansible_returns():
    frame = run("command", cmd="sh -c 'echo out; echo err >&2'")
    result = frame["result"]
    assert frame["status"] == "changed"
    assert result["cmd"] == ["sh", "-c", "echo out; echo err >&2"]
    assert (result["rc"], result["stdout"], result["stderr"], result["msg"]) == (0, "out", "err", "")
    assert (result["stdout_lines"], result["stderr_lines"]) == (["out"], ["err"])
    assert result["start"] <= result["end"]
    assert result["delta"].startswith("0:00:0")


def test_a_command_that_fails_fails():
    frame = run("shell", cmd="echo oops >&2; exit 3")
    assert frame["status"] == "failed"
    assert frame["result"]["rc"] == 3
    assert frame["result"]["msg"] == "non-zero return code"
    assert frame["result"]["stderr"] == "oops"
    assert frame["result"]["cmd"] == "echo oops >&2; exit 3"


def test_nothing_in_a_command_is_special_but_variables_and_home():
    result = run("command", cmd="echo $COLOUR ~ '*' ; x", environment={"COLOUR": "deep red"})["result"]
    assert result["stdout"] == f"deep red {Path.home()} * ; x"
    result = run("command", argv=["echo", "$COLOUR", "~"], expand_argument_vars=False)["result"]
    assert result["stdout"] == "$COLOUR ~"
    assert run("command", cmd="echo $NOT_THERE_AT_ALL")["result"]["stdout"] == "$NOT_THERE_AT_ALL"


def test_a_shell_has_pipes_and_the_task_chooses_which(tmp_path):
    assert run("shell", cmd="echo b; echo a | cat")["result"]["stdout_lines"] == ["b", "a"]
    assert run("shell", cmd="echo $0", executable="/bin/bash")["result"]["stdout"] == "/bin/bash"


def test_standard_input_is_the_text_or_empty():
    assert run("command", cmd="wc -c", stdin="äb")["result"]["stdout"] == "4"
    assert run("command", cmd="wc -c", stdin="ab", stdin_add_newline=False)["result"]["stdout"] == "2"
    assert run("command", cmd="wc -c")["result"]["stdout"] == "0"


def test_empty_lines_at_the_end_are_cut_unless_wanted():
    assert run("command", cmd="printf 'a\\n\\n'")["result"]["stdout"] == "a"
    assert run("command", cmd="printf 'a\\n\\n'", strip_empty_ends=False)["result"]["stdout"] == "a\n\n"


def test_creates_and_removes_skip_from_the_folder_where_it_runs(tmp_path):
    (tmp_path / "made.1").touch()
    for condition, pattern, runs in (
        ("creates", "made.*", False),
        ("creates", "other", True),
        ("removes", "made.1", True),
        ("removes", str(tmp_path / "other"), False),
    ):
        frame = run("shell", cmd="touch ran", chdir=str(tmp_path), **{condition: pattern})
        assert (tmp_path / "ran").exists() is runs
        assert frame["status"] == ("changed" if runs else "skipped")
        assert (
            runs or frame["reason"] == f"{pattern} {'exists' if condition == 'creates' else 'does not exist'}"
        )
        (tmp_path / "ran").unlink(missing_ok=True)


def test_it_runs_in_the_folder(tmp_path):
    assert run("command", cmd="pwd", chdir=str(tmp_path))["result"]["stdout"] == str(tmp_path)
    frame = run("command", cmd="pwd", chdir=str(tmp_path / "none"))
    assert frame["status"] == "failed"
    assert frame["reason"] == f"cannot change to {tmp_path}/none: there is no such folder; correct chdir"


@pytest.mark.parametrize("module", ["command", "shell"])
def test_a_folder_where_nobody_can_work_is_told_exactly(tmp_path, module):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (
        ("none", "there is no such folder; correct chdir"),
        ("file", "it is a file, not a folder; correct chdir"),
        ("file/below", "there is no such folder; correct chdir"),
        ("loop", "too many levels of symbolic links; correct chdir"),
        ("a\0b", "no path holds a null byte; correct chdir"),
    ):
        frame = run(module, cmd="pwd", chdir=f"{tmp_path}/{name}")
        assert (frame["status"], frame["reason"]) == ("failed", f"cannot change to {tmp_path}/{name}: {why}")
        assert frame["result"]["rc"] is None


def test_a_folder_that_may_not_be_entered_names_who_may_not(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    import_module(
        "remedy.agent.files"
    )  # as an identity has it from memory: this disk may be closed to nobody, too
    os.seteuid(NOBODY)
    try:
        frame = run("command", cmd="pwd", chdir=str(closed))
    finally:
        os.seteuid(0)
    assert frame["status"] == "failed"
    assert frame["reason"] == (
        f"cannot change to {closed}: the user nobody may not enter it; use become, or a user that may"
    )
    assert frame["result"]["rc"] is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"argv": ["echo", "a\0b"]},
            "cannot run 'echo': word 2 holds a null byte, where a program's word ends; take it out",
        ),
        (
            {"argv": ["ec\0ho"]},
            "cannot run 'ec\\x00ho': word 1 holds a null byte, where a program's word ends; take it out",
        ),
        ({"argv": [""]}, "there is no program to run: its name is empty; give a name or a path"),
        (
            {"cmd": "true", "environment": {"A=B": "x"}},
            "cannot set the environment variable 'A=B': expected a name without =, and no null byte; correct it",
        ),
        (
            {"cmd": "true", "environment": {"": "x"}},
            "cannot set the environment variable '': expected a name without =, and no null byte; correct it",
        ),
        (
            {"cmd": "true", "environment": {"A": "x\0"}},
            "cannot set the environment variable 'A': expected a name without =, and no null byte; correct it",
        ),
    ],
)
def test_what_no_program_can_be_given_is_said_in_words(monkeypatch, given, reason):
    assert _told(given) == ("failed", reason, None)
    monkeypatch.delattr(os, "posix_spawn")  # as on Python 3.6
    assert _told(given) == ("failed", reason, None)


def _told(given):
    frame = run("command", **given)
    return frame["status"], frame["reason"], frame["result"].get("rc")


def test_an_environment_of_any_module_is_looked_at():
    talk = Talk()
    host = Host(talk)
    host.begin({"environment": {"A=B": "x"}}, "test")
    with pytest.raises(Failed, match="cannot set the environment variable 'A=B'"):
        host.run(["true"])


def test_a_child_that_cannot_be_prepared_says_why():
    def before():
        raise KeyError("seat")

    null = os.open(os.devnull, os.O_RDWR)
    try:
        with pytest.raises(OSError, match=r"could not be prepared: KeyError: 'seat'.*/bin/true") as caught:
            process.spawn(["/bin/true"], (null, null, null), {}, before=before)
    finally:
        os.close(null)
    assert caught.value.errno == errno.EIO


def test_a_command_that_promises_to_read_reports_no_change():
    frame = run("command", cmd="true", reads=True)
    assert frame["status"] == "ok"
    assert frame["result"]["changed"] is False


def test_check_mode_runs_nothing(tmp_path):
    frame = run("command", in_check=True, argv=["touch", str(tmp_path / "x")])
    assert frame["status"] == "skipped"
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_named():
    frame = run("command", cmd="no-such-program-here --now")
    assert frame["status"] == "failed"
    assert frame["reason"] == "cannot run no-such-program-here: no such file or directory"
    frame = run("command", cmd="echo 'open")
    assert frame["reason"] == 'cannot split "echo \'open" into words: No closing quotation; close the quote'


def test_command_and_argv_exclude_each_other():
    with pytest.raises(InputError, match="give cmd or argv, not both"):
        params("command", cmd="a", argv=["b"])
    with pytest.raises(InputError, match="give cmd, argv, or the command line as bare text"):
        params("command", chdir="/")


def test_executable_of_command_is_accepted_with_a_warning():
    talk = Talk()
    assert run("command", talk=talk, cmd="true", executable="/bin/bash")["status"] == "changed"
    assert talk.warnings == ["command does not use 'executable'; shell does"]


def test_output_that_is_no_text_does_not_break_anything():
    result = run("shell", cmd="printf '\\377ok'")["result"]
    assert result["stdout"].encode("utf-8", "surrogateescape") == b"\xffok"


def test_raw_never_runs_in_the_agent():
    assert run("raw", cmd="true")["status"] == "failed"
    assert params("raw", cmd="uptime") == {"cmd": "uptime", "executable": None, "reads": False}


def test_ping_answers_and_can_be_made_to_fail():
    assert run("ping")["result"]["ping"] == "pong"
    assert run("ping", data="crash")["status"] == "failed"
