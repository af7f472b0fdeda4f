"""Round trips, as reported and as measured from outside: by how much a distant host makes the same play longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pytest
from bench.delay import delayed

from remedy.lab import Host, Lab
from tests.acceptance.operator import Operator, Result

pytestmark = pytest.mark.alone

RTT = 0.4  # seconds
ROUNDS = 6

HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n"
PING = HEAD + "    - ping:\n"
UNCHANGED = HEAD + "".join(
    [f"    - {{name: look {number}, stat: {{path: /etc/passwd}}}}\n" for number in range(10)]
    + [
        f"    - {{name: keep {number}, file: {{path: /srv/kept, state: directory}}, become: true}}\n"
        for number in range(10)
    ]
)
CHANGES = HEAD + "".join(
    f"    - {{name: make {number}, file: {{path: '/srv/{{{{ token }}}}-{number}', state: directory}}, become: true}}\n"
    for number in range(5)
)
NEEDED = (
    HEAD
    + """\
    - {name: first, command: echo seen, changed_when: false, register: first}
    - {name: beside, command: echo beside, changed_when: false}
    - {name: second, command: "echo {{ first.stdout }}", changed_when: false}
    - {name: after, command: echo after, changed_when: false}
"""
)
HANDLER = """\
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - {name: change, copy: {content: "{{ token }}", dest: /srv/noticed}, notify: notice}
    - {name: more, stat: {path: /srv}}
  handlers:
    - {name: notice, command: echo noticed, changed_when: false}
"""
IDENTITIES = HEAD + "".join(
    f"    - {{name: turn {number}, command: id -un, changed_when: false, become: {user != 'admin'}, "
    f"become_user: {user}}}\n"
    for number, user in enumerate(["admin", "root", "app"] * 3)
)
DIRECT = HEAD.replace("  tasks", "  become: true\n  tasks") + "    - {name: who, command: id -un}\n"

CASES = {
    "20 unchanged": (UNCHANGED, 1),
    "5 changes": (CHANGES, 6),
    "become direct": (DIRECT, 1),
    "a result that is needed": (NEEDED, 2),
    "a change and its handler": (HANDLER, 3),
    "alternate identities": (IDENTITIES, 1),
}


@dataclass
class Distance:
    """The same host near and far; `seconds` is how long a play takes there."""

    operator: Operator
    plays: int = 0

    def play(self, text: str, where: str) -> tuple[Result, float]:
        self.plays += 1
        began = time.monotonic()
        result = self.operator.play(text, "-l", where, "-e", f"token=t{self.plays}", "--yes")
        seconds = time.monotonic() - began
        assert result.code == 0, result.stdout + result.stderr
        return result, seconds

    def farther(self, text: str) -> Iterator[float]:
        """Yield how many seconds longer a play takes on the distant host, better with each round.

        The quickest run counts: a busy machine can only make one longer.
        """
        far, near = float("inf"), float("inf")
        for _ in range(ROUNDS):
            far = min(far, self.play(text, "far")[1])
            near = min(near, self.play(text, "near")[1])
            yield far - near


@pytest.fixture(scope="module")
def distance(lab: Lab, lab_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distance]:
    lab.run(lab_host.name, ["mkdir", "-p", "/srv/kept"])
    operator = Operator(tmp_path_factory.mktemp("distance"), lab)
    address = (lab_host.address, 22)
    with delayed([address], 0.0) as near, delayed([address], RTT) as far:
        operator.add("near", lab_host, near[0])
        operator.add("far", lab_host, far[0])
        yield Distance(operator)


@pytest.fixture(scope="module")
def ping(distance: Distance) -> float:
    """How much longer the start and a single round trip take."""
    return list(islice(distance.farther(PING), 3))[-1]


@pytest.mark.parametrize("case", CASES)
def test_what_is_reported_is_what_the_distance_costs(distance, ping, case):
    text, expected = CASES[case]
    near, _ = distance.play(text, "near")
    assert near.trips("near") == expected
    measured: list[float] = []
    for farther in distance.farther(text):
        measured.append((farther - ping) / RTT + 1)
        if round(measured[-1]) == expected:
            break
    print(f"{case}: measured {measured}")
    assert round(measured[-1]) == expected


@pytest.mark.parametrize("changes", [0, 1, 2, 4])
def test_a_further_change_costs_one_round_trip(distance, changes):
    paths = ["/srv/{{ token }}-" + str(number) for number in range(changes)]
    paths += ["/srv/kept"] * (20 - changes)
    tasks = [
        f"    - {{name: t{number}, file: {{path: '{path}', state: directory}}, become: true}}\n"
        for number, path in enumerate(paths)
    ]
    result, _ = distance.play(HEAD + "".join(tasks), "near")
    assert result.report["hosts"]["near"]["changed"] == changes
    assert result.trips("near") == 1 + changes
