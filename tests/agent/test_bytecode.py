"""Byte code: it runs on the Python that it was made for, and on no other; what runs is the same either way."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest

from remedy.agent import bootstrap
from remedy.transport import bytecode
from tests.agent.driver import SHIPPED, Agent

IMPORTER = bootstrap.CORE[0]
SOURCES = {**bootstrap.sources(), **SHIPPED}
RUINED = dict.fromkeys(SOURCES, "raise RuntimeError('this source is not to run')")


def own_kind(python: str) -> bool:
    """Say whether an interpreter is of this one's kind, as its .pyc files tell."""
    return Path(python).resolve().name == f"python3.{sys.version_info.minor}"


def test_byte_code_runs_where_python_is_of_its_kind(any_python: str, start: Callable[..., Agent]) -> None:
    payload = bootstrap.pack(RUINED, bytecode.KIND, bytecode.compiled(SOURCES))
    agent = start(any_python, payload=payload)
    if own_kind(any_python):
        agent.hello()
        assert agent.one("t_probe")["status"] == "ok"
    else:  # and nowhere else: there the ruined sources are read
        with pytest.raises(EOFError):
            agent.hello()


@pytest.mark.parametrize("kind", ["-", bytecode.KIND[:-1], bytecode.KIND + "0", "cpython-311ffff0d0a"])
def test_foreign_byte_code_is_never_looked_at(
    any_python: str, start: Callable[..., Agent], kind: str
) -> None:
    foreign = {IMPORTER: b"\xff no byte code at all"}
    agent = start(any_python, payload=bootstrap.pack(SOURCES, kind, foreign))
    agent.hello()
    assert agent.one("t_probe")["status"] == "ok"


def test_source_and_byte_code_give_the_same(any_python: str, start: Callable[..., Agent]) -> None:
    came = []
    for payload in (
        bootstrap.pack(SOURCES),
        bootstrap.pack(SOURCES, bytecode.KIND, bytecode.compiled(SOURCES)),
    ):
        agent = start(any_python, payload=payload)
        agent.hello()
        results = [agent.one("t_probe"), agent.one("t_probe", {"do": "crash"}), agent.one("t_no_such")]
        for each in results:
            each.pop("seconds")
        came.append([(each["status"], each["reason"], each["result"].get("msg")) for each in results])
        came[-1].append(results[1]["result"]["exception"])  # with the same lines
    assert came[0] == came[1]


def test_lines_are_kept_and_columns_are_not() -> None:
    for name, found in bytecode.compiled(SOURCES).items():
        if isinstance(found, bytes):
            original = compile(SOURCES[name], f"<{name}>", "exec", 0, dont_inherit=True)
            pairs = zip(codes(original), codes(marshal.loads(found)), strict=True)
            for whole, shipped in pairs:
                assert list(shipped.co_lines()) == list(whole.co_lines()), name
                assert shipped.co_code == whole.co_code
                assert len(shipped.co_linetable) <= len(whole.co_linetable)


def test_far_jumps_between_lines_are_kept() -> None:
    source = (
        "a = [\n1," + "\n" * 5000 + "b\n]\n" + "\n" * 70 + "def f():\n  return (1 +\n" + "\n" * 40 + "g())\n"
    )
    whole = compile(source, "<x>", "exec")
    assert list(bytecode._with_lines_only(whole).co_lines()) == list(whole.co_lines())


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes(each)
