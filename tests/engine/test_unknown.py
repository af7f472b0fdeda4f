"""Which tasks hang on a command that check mode left out."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.engine.unknown import hangs_on

LEFT_OUT = [
    ("because", "sh -c 'tar -xf /srv/app.tar -C /srv/app; chown root:adm /srv/app; systemctl start nginx'")
]


@pytest.mark.parametrize(
    "params",
    [
        {"path": "/srv/app"},
        {"path": "/srv/app/conf/x.yml"},
        {"path": "/srv/app/"},
        {"dest": "/srv", "src": "/elsewhere"},
        {"paths": ["/var", "/srv/app/logs"]},
        {"name": "nginx", "state": "started"},
    ],
)
def test_a_task_that_meets_the_command(params: dict[str, Any]) -> None:
    assert hangs_on(LEFT_OUT, params) == "because"


@pytest.mark.parametrize(
    "params",
    [
        {"path": "/srv/application"},
        {"path": "/etc/hosts", "owner": "root", "group": "adm", "mode": "0644"},
        {"path": "/etc/hosts", "line": "/srv/app", "content": "/srv/app"},
        {"name": "nginx-exporter"},
        {"msg": "start"},
        {},
    ],
)
def test_a_task_that_does_not(params: dict[str, Any]) -> None:
    assert hangs_on(LEFT_OUT, params) is None


def test_nothing_hangs_where_nothing_was_left_out() -> None:
    assert hangs_on([], {"path": "/srv/app"}) is None
