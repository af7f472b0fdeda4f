"""Agents for the tests: real processes, started the way a login shell starts them, on every Python at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agent.driver import Agent, interpreters


@pytest.fixture
def start() -> Iterator[Callable[..., Agent]]:
    """Start agents; all are gone after the test."""
    agents: list[Agent] = []

    def starting(*args: Any, **options: Any) -> Agent:
        agents.append(Agent(*args, **options))
        return agents[-1]

    yield starting
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(start: Callable[..., Agent]) -> Agent:
    """An agent on the Python that the host offers first, its hello read."""
    agent = start()
    agent.hello()
    return agent


@pytest.fixture(params=interpreters())
def any_python(request: pytest.FixtureRequest) -> str:
    """Each Python of this machine that can be an agent's."""
    found: str = request.param
    return found


@pytest.fixture
def any_agent(any_python: str, start: Callable[..., Agent]) -> Agent:
    """An agent on each Python of this machine, its hello read."""
    agent = start(any_python)
    agent.greeting = agent.hello()
    return agent
