"""Round trips, as reported and as counted on the way to a distant host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bench.delay import Distant, delayed

from remedy.lab import Host, Lab
from tests.acceptance.operator import Operator, Result

pytestmark = pytest.mark.alone

RTT = 0.4  # seconds: longer than remedy computes between two things that it sends at once
ROUNDS = 4

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
    """A host that is near, and at the end of a long way as well."""

    operator: Operator
    way: Distant
    plays: int = 0

    def play(self, text: str, where: str) -> Result:
        self.plays += 1
        result = self.operator.play(text, "-l", where, "-e", f"token=t{self.plays}", "--yes")
        assert result.code == 0, result.stdout + result.stderr
        return result

    def counted(self, text: str) -> Iterator[int]:
        """Yield how many round trips of a play followed one another on the way: a busy machine makes them more."""
        for _ in range(ROUNDS):
            self.play(text, "far")
            yield from self.way.trips()


@pytest.fixture(scope="module")
def distance(lab: Lab, lab_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distance]:
    lab.run(lab_host.name, ["mkdir", "-p", "/srv/kept"])
    operator = Operator(tmp_path_factory.mktemp("distance"), lab)
    operator.add("near", lab_host)
    with delayed([(lab_host.address, 22)], RTT) as way:
        operator.add("far", lab_host, way.ports[0])
        yield Distance(operator, way)


@pytest.fixture(scope="module")
def start(distance: Distance) -> int:
    """How many round trips a connection takes beside those of its play: for its start and its end."""
    return min(distance.counted(PING)) - 1


@pytest.mark.parametrize("case", CASES)
def test_what_is_reported_is_what_goes_and_comes(distance, start, case):
    text, expected = CASES[case]
    assert distance.play(text, "near").trips("near") == expected
    counted: list[int] = []
    for trips in distance.counted(text):
        counted.append(trips - start)
        if counted[-1] <= expected:
            break
    assert counted[-1] == expected, counted


@pytest.mark.parametrize("changes", [0, 1, 2, 4])
def test_a_further_change_costs_one_round_trip(distance, changes):
    paths = ["/srv/{{ token }}-" + str(number) for number in range(changes)]
    paths += ["/srv/kept"] * (20 - changes)
    tasks = [
        f"    - {{name: t{number}, file: {{path: '{path}', state: directory}}, become: true}}\n"
        for number, path in enumerate(paths)
    ]
    result = distance.play(HEAD + "".join(tasks), "near")
    assert result.report["hosts"]["near"]["changed"] == changes
    assert result.trips("near") == 1 + changes
