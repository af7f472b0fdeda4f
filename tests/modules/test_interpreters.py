"""The system modules work on every Python that is at hand, 3.6 first of all."""

import os

import pytest
from tests.agent.driver import interpreters
from tests.modules.running import in_python, step


@pytest.mark.parametrize("interpreter", interpreters())
def test_every_system_module_runs(interpreter, tmp_path):
    (tmp_path / "ä.log.1").write_text("x" * 5000)
    os.utime(tmp_path / "ä.log.1", (0, 0))
    frames = in_python(
        interpreter,
        step("ping"),
        step("setup"),
        step("command", cmd="echo ä ~"),
        step("shell", cmd="echo a | cat"),
        step("disk_usage", above=1, paths=[str(tmp_path)], largest=1, budget="100ms"),
        step("wait_for", path="/etc/passwd", search_regex="^root:"),
        step("wait_for", port=1, state="drained"),
        step("old_files", paths=[str(tmp_path)], age="1d"),
        step("service", name="no-such-unit", state="started"),
    )
    assert [(frame["status"], frame["result"].get("exception")) for frame in frames] == [
        ("ok", None),
        ("ok", None),
        ("changed", None),
        ("changed", None),
        ("ok", None),
        ("ok", None),
        ("ok", None),
        ("changed", None),
        ("failed", None),
    ]
    assert frames[2]["result"]["stdout"] == "ä /root"
    assert not list(tmp_path.iterdir())
