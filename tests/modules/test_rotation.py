"""logrotate's configuration cut into rules: nothing of it gets lost, and what a rule is for is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.agent.kinds import Failed
from remedy.modules.target import _rotation
from remedy.modules.target.logrotate_run import _covers

PIECES = st.sampled_from(
    [
        "weekly\n",
        "rotate 4\n",
        "\n",
        "# a { comment }\n",
        "include /etc/logrotate.d\n",
        "/var/log/a.log {\n  rotate 2\n}\n",
        "/var/log/a.log\n/var/log/b.log\n{\n  daily\n}\n",
        '"/var/log/with space.log" /var/log/c*.log {\n  daily\n} # so\n',
        "/var/log/d.log {\n  postrotate\n    echo '}'\n}\n  endscript\n  # }\n  missingok\n}\n",
        "/var/log/e.log { daily }\n",
    ]
)


@given(st.lists(PIECES, max_size=8))
def test_the_parts_together_are_the_whole(pieces):
    text = "".join(pieces)
    found = _rotation.parts(text, "/etc/x")
    assert "".join(part if isinstance(part, str) else part.text for part in found) == text
    rules = [part for part in found if not isinstance(part, str)]
    assert len(rules) == sum(piece.lstrip().startswith(("/", '"')) for piece in pieces)


@pytest.mark.parametrize(
    "text", ["/var/log/a.log {\n  daily\n", "/var/log/a.log\n", "/a {\n postrotate\n }\n"]
)
def test_a_rule_that_does_not_end_is_no_rule(text):
    with pytest.raises(Failed, match="does not end as it should"):
        _rotation.parts(text, "/etc/x")


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/var/log/with space.log", True),
        ("/var/log/c1.log", True),
        ("/var/log/deep/c1.log", False),
        ("/var/log/*.log", True),
        ("/var/log/**", True),
        ("/srv/**", False),
    ],
)
def test_what_a_rule_is_for(path, covered):
    [rule] = _rotation.parts('"/var/log/with space.log" /var/log/c*.log {\n}\n', "/etc/x")
    assert rule.patterns == ["/var/log/with space.log", "/var/log/c*.log"]
    assert _covers(rule, path) is covered


def test_a_plan_is_what_logrotate_says():
    plan = _rotation.Plan(
        "error: x:2 unknown option 'rotato' -- ignoring line\n"
        "considering log /var/log/a b.log\n  Now: 2026-11-22 01:28\n  log needs rotating\n"
        "considering log /var/log/none.log\n  log /var/log/none.log does not exist -- skipping\n"
        "considering log /var/log/empty.log\n  log does not need rotating (log is empty)\n"
        "rotating log /var/log/a b.log, log->rotateCount is 2\n"
        "copying /var/log/a b.log to /var/log/a b.log.1\ntruncating /var/log/a b.log\n"
        "compressing log with: /bin/gzip\nremoving old log /var/log/a b.log.3.gz\n"
    )
    assert plan.errors == ["x:2 unknown option 'rotato' -- ignoring line"]
    assert plan.logs == plan.packs == ["/var/log/a b.log"]
    assert plan.copies == [("/var/log/a b.log", "/var/log/a b.log.1")]
    assert plan.removed == ["/var/log/a b.log.3.gz"]
    assert plan.skipped == {"/var/log/none.log": "it does not exist", "/var/log/empty.log": "log is empty"}
