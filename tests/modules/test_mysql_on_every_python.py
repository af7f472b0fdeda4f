"""What looks at MySQL's process, option files and log on a host, in a real agent, on every Python at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.driver import Agent, interpreters
from tests.modules.test_on_every_python import run

from remedy.agent import bootstrap
from remedy.modules import parameters, registry

MODULES = ("mysql_servers", "mysql_option", "mysql_idle_client", "_mysql_host", "_mysql_log")


@pytest.fixture(params=interpreters())
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/root"}
    started = Agent(request.param, environment=environment)
    try:
        started.hello()
        started.send(t="code", sources=bootstrap.sources(MODULES))
        yield started
    finally:
        started.close()


def result(agent: Agent, module: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
    if not module.startswith("_"):
        params = dict(parameters.check(registry.find(module), params, None, templates_allowed=False))
    name = f"remedy.modules.target.{module}"
    step = {"op": "run", "module": name, "params": params, "check": check}
    (done,) = [each for each in run(agent, step) if each["t"] == "result"]
    return dict(done)


def test_what_is_looked_at_where_no_server_is_the_hosts_own(agent: Agent, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text(time.strftime("%Y-%m-%d %H:%M:%S") + " 1 [ERROR] Duplicate entry '1' for key 'k'\n")
    servers = result(agent, "mysql_servers")
    # Those of lab hosts are seen from here, each in a root of its own.
    assert servers["status"] == "ok"
    assert all(each["container"] for each in servers["result"]["servers"])
    host = result(agent, "_mysql_host", datadir=str(tmp_path), options=["max_connections"])
    assert (host["status"], host["result"]["pid"]) == ("ok", None), host
    assert host["result"]["memory"]["total"] > 1 << 20
    assert host["result"]["free"] > 0
    told = result(agent, "_mysql_log", path=str(log), unit=None, since=60, patterns=["Duplicate"])
    assert len(told["result"]["lines"]) == 1, told
    assert (
        "not exactly one MySQL or MariaDB server"
        in result(agent, "mysql_idle_client", in_transaction=True)["reason"]
    )
    # In check mode: this machine may have option files, and nothing of them is a test's to write.
    about = {"option": "max_connections", "value": "300", "datadir": str(tmp_path)}
    option = result(agent, "mysql_option", check=True, **about)
    assert option["status"] == "changed" or "there is no place for a drop-in" in option["reason"], option
