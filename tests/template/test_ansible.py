"""What ansible-core makes of a template, remedy makes of it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.document import load_file
from remedy.errors import InputError
from remedy.secret import Secrets
from remedy.template import Layer, Templar

KNOWN = load_file(Path(__file__).with_name("ansible.yml"))
TEMPLAR = Templar(Secrets())
SCOPE = TEMPLAR.scope([Layer("vars", KNOWN["variables"])])


def same(found: Any, expected: Any) -> bool:
    """Compare with types: 1 is neither 1.0 nor true."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, str):
        return type(found) is str and found == expected
    return type(found) is type(expected) and bool(found == expected)


@pytest.mark.parametrize("case", KNOWN["templates"], ids=lambda case: str(case["template"]))
def test_templates_give_what_ansible_gives(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(InputError):
            TEMPLAR.render(case["template"], SCOPE)
    else:
        found = TEMPLAR.render(case["template"], SCOPE)
        assert same(found, case["gives"]), found


@pytest.mark.parametrize("case", KNOWN["conditions"], ids=lambda case: str(case["condition"]))
def test_conditions_say_what_ansible_says(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(InputError):
            TEMPLAR.condition(case["condition"], SCOPE)
    else:
        assert TEMPLAR.condition(case["condition"], SCOPE) is case["gives"]
