"""Where PyYAML has no libyaml the pure parser takes over, with the same values and positions."""

import pytest
import yaml

from remedy.document import load_yaml
from remedy.document.nodes import Map
from remedy.errors import InputError


def test_the_pure_parser_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x [1, 'two', !unsafe three]\nb:\n  c: *x\n  d: |\n    text\n"
    fast = load_yaml(text, "f.yml")
    monkeypatch.setattr("remedy.document.loader._Loader", yaml.SafeLoader)
    pure = load_yaml(text, "f.yml")
    assert pure == fast
    assert isinstance(pure, Map)
    assert pure.values_at == fast.values_at
    assert pure["b"].keys_at == fast["b"].keys_at


@pytest.mark.parametrize("text", ["a: 'x", "a:\n\t- b", "a: b: c", "a: x\x01", "a: [1", "a: @x"])
def test_the_pure_parser_explains_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remedy.document.loader._Loader", yaml.SafeLoader)
    with pytest.raises(InputError) as caught:
        load_yaml(text, "f.yml")
    assert str(caught.value).startswith("f.yml:")
