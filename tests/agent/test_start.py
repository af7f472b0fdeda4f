"""The start: through any shell, past any noise, in the first Python that will do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

import remedy.agent
import remedy.modules.target
from remedy.agent import bootstrap
from tests.agent.driver import Agent


def test_the_hello_tells_who_the_host_is(any_agent: Agent) -> None:
    hello = any_agent.greeting
    assert hello["uid"] == os.geteuid()
    assert hello["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert hello["pid_ns"] == str(Path("/proc/self/ns/pid").readlink())
    assert hello["hostname"] == os.uname().nodename
    assert abs(hello["clock"] - __import__("time").time()) < 60
    assert hello["lock"] == {"held": False, "holder": None}
    assert any_agent.one("t_probe")["status"] == "ok"


def test_a_shell_without_frills_will_do(start: Callable[..., Agent]) -> None:
    agent = start(shell=("/bin/dash", "-c"))
    agent.hello()
    assert agent.one("t_probe")["result"]["pid"] > 1


def test_noise_before_the_hello_is_passed_over(start: Callable[..., Agent]) -> None:
    agent = start(shell=("/bin/sh", "-c", 'echo "Welcome!"; printf "no newline"; eval "$0"'))
    agent.hello()
    assert agent.noise == b"Welcome!\nno newline"
    assert agent.one("t_probe")["status"] == "ok"


def test_noise_after_the_hello_does_no_harm(any_agent: Agent) -> None:
    assert any_agent.one("t_probe", {"do": "print"})["status"] == "ok"
    assert any_agent.one("t_probe", {"do": "print"})["status"] == "ok"


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Unknown option: -I' >&2; exit 2",  # Python 2 and 3.3
        "exit 97",  # 3.4 and 3.5: the stage itself says no
        "echo 'Fatal Python error: no module encodings' >&2; exit 1",
        "exit 127",  # a pyenv shim whose version is gone
    ],
)
def test_a_python_that_will_not_do_is_passed_over(
    start: Callable[..., Agent], tmp_path: Path, script: str
) -> None:
    broken = tmp_path / "a python"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    agent = start(str(broken))
    agent.hello()
    assert agent.one("t_probe")["status"] == "ok"


def test_the_stage_refuses_an_old_python_having_read_nothing() -> None:
    pretend = "import sys; sys.version_info = (3, 5, 9); exec(sys.argv.pop(1))"
    inn, out = os.pipe()
    os.write(out, b"payload")
    done = subprocess.run(
        [sys.executable, "-c", pretend, bootstrap.STAGE, "nonce", "7", "label"],
        stdin=inn,
        capture_output=True,
    )
    assert done.returncode == 97
    assert done.stdout == b""
    assert os.read(inn, 99) == b"payload"
    os.close(inn)
    os.close(out)


def test_the_stage_refuses_a_python_without_json() -> None:
    pretend = "import sys; sys.modules['json'] = None; exec(sys.argv.pop(1))"
    done = subprocess.run(
        [sys.executable, "-c", pretend, bootstrap.STAGE, "nonce", "7", "label"],
        input=b"1234567",
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (97, b"")


def test_a_host_without_python_says_so() -> None:
    line = bootstrap.command("cafe", 10, "label").replace("python", "no-such-program")
    done = subprocess.run(["/bin/sh", "-c", line], input=b"", capture_output=True, timeout=10)
    assert done.stdout.decode() == "REMEDY-NO-PYTHON cafe\n"
    assert done.returncode == 97


def test_the_command_holds_nothing_that_a_login_shell_would_touch() -> None:
    line = bootstrap.command("cafe", 10, 'remedy $(reboot), o\'hara!@`x` \\ "y"\nz')
    inside = line.removeprefix("exec /bin/sh -c ")
    # csh: no newline and no "!"; fish: backslashes count inside single quotes only before "\" and "'".
    assert "\n" not in line
    assert "!" not in line
    assert "\\\\" not in line
    assert "\\'" not in line
    words = subprocess.run(["/bin/sh", "-c", f"printf '%s\\0' {inside}"], capture_output=True, check=True)
    assert len(words.stdout.split(b"\0")) == 2
    assert "remedy __reboot_, o_hara" in line


def test_the_label_stands_in_the_command_line(start: Callable[..., Agent]) -> None:
    agent = start(label="remedy 42, me@here, since 12:00")
    pid = agent.hello()["pid"]
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert words[-2] == b"remedy 42, me@here, since 12:00"


def test_sources_leave_out_prose_and_keep_the_lines() -> None:
    sources = bootstrap.sources(["ping"])
    assert "remedy.modules.target.ping" in sources
    original = Path(bootstrap.__file__).with_name("switchboard.py").read_text()
    shipped = sources["remedy.agent.switchboard"]
    assert shipped.count("\n") == original.count("\n")
    assert '"""' not in shipped
    compile(shipped, "shipped", "exec")


@pytest.mark.parametrize("package", [remedy.agent, remedy.modules.target])
def test_what_is_shipped_is_what_a_parser_would_have_left(package: ModuleType) -> None:
    found = [each.name for each in walk_packages(package.__path__, f"{package.__name__}.") if not each.ispkg]
    assert len(found) > 20
    for name in found:
        original = Path(str(find_spec(name).origin)).read_text()
        shipped = bootstrap.sources([name])
        assert parsed(shipped[name]) == parsed(original), name
        assert shipped[name].count("\n") == original.count("\n"), name
        wanted = {module for module in imports(original) if module.startswith(package.__name__)}
        assert wanted <= set(shipped), name


AWKWARD = r'''"""Prose."""
_A = """
one # "
"""
_B = r"""
two \\"""
_C = """
three \""" not yet "quoted"
"""  # """
x = '"""'; y = "it's"  # isn't """ either
def f(a="\""):
    """Prose
    of two lines: `"` and it's \""".
    """
    return dict(
        a="""kept
""",
        b=[
            """
            too
            """,
            """and
            """
        ],
    )
class K(object):
    """Prose."""

    text = """
""" + """
"""
_D = """
"""
EXAMPLES = """
- copy: {}
"""
'''


def test_texts_that_are_no_prose_travel_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "awkward_module.py").write_text(AWKWARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    shipped, _ = bootstrap._source("awkward_module")
    assert parsed(shipped) == parsed(AWKWARD)
    assert shipped.count("\n") == AWKWARD.count("\n")
    assert "Prose" not in shipped
    assert "- copy" not in shipped


def parsed(source: str) -> str:
    """Return the code without what the host has no use for."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        examples = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES"
        value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
        prose = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if prose and (examples or isinstance(node, ast.Expr)):
            value.value = ""
    return ast.dump(tree)


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = find_spec(node.module)
            if whole is not None and whole.submodule_search_locations is not None:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_what_a_module_imports_travels_with_it() -> None:
    found = bootstrap.sources(["service"])
    assert {"remedy.modules.target._systemd", "remedy.agent.files"} <= set(found)
    with pytest.raises(ImportError, match="no module"):
        bootstrap.sources(["no_such_module"])


def test_an_idle_agent_is_small(any_agent: Agent) -> None:
    pid = any_agent.greeting["pid"]
    worker = any_agent.one("t_probe")["result"]["pid"]
    rollup = {p: Path(f"/proc/{p}/smaps_rollup").read_text() for p in (pid, worker)}
    pss = sum(
        int(line.split()[1]) for text in rollup.values() for line in text.splitlines() if line[:4] == "Pss:"
    )
    assert pss < 16 * 1024


def test_the_first_step_needs_nothing_heavy(any_agent: Agent) -> None:
    loaded = set(any_agent.one("t_probe")["result"]["modules"])
    assert not loaded & {
        "subprocess",
        "hashlib",
        "logging",
        "typing",
        "threading",
        "ctypes",
        "dataclasses",
        "ssl",
    }
