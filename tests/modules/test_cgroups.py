"""The limits of a process's control groups, on every Python at hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.agent.driver import interpreters

from remedy.modules.target import _cgroups

READ = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("cgroups", sys.argv[1])
cgroups = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cgroups)
print(cgroups.memory(sys.argv[2]), cgroups.tasks(sys.argv[2]))
"""


@pytest.mark.parametrize("interpreter", interpreters())
def test_a_group_with_any_name_hinders_nobody(interpreter: str, tmp_path: Path) -> None:
    """Where the locale is C, and Python older than 3.7 or told not to mind, texts are ASCII."""
    (tmp_path / "cgroup").write_text("0::/größer.slice/x.service\n", encoding="utf-8")
    place = f"..{tmp_path}"  # seen from /proc
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    argv = [interpreter, "-B", "-c", READ, str(_cgroups.__file__), place]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (done.stdout, done.stderr) == ("[] []\n", "")
