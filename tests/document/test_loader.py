"""What a document is made of, and where each part stands."""

import datetime
from pathlib import Path

import pytest

from remedy.document import Map, Seq, Text, Unsafe, VaultText, load_file, load_yaml
from remedy.errors import Position, VaultError


def test_texts_are_marked_and_know_where_they_stand() -> None:
    play = load_yaml("- name: heal\n  hosts: 'web'\n", "play.yml")[0]
    assert type(play) is Map
    assert type(play["hosts"]) is Text
    assert play["hosts"].position == Position("play.yml", 2, 10)
    assert play.keys_at["hosts"] == Position("play.yml", 2, 3)
    assert play.values_at["name"] == Position("play.yml", 1, 9)
    assert play.position == Position("play.yml", 1, 3)


def test_items_know_where_they_stand_whatever_their_type() -> None:
    numbers = load_yaml("ports:\n  - 80\n  - 443\n", "f.yml")["ports"]
    assert type(numbers) is Seq
    assert numbers.items_at == [Position("f.yml", 2, 5), Position("f.yml", 3, 5)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("1.10", 1.1),
        ("'1.10'", "1.10"),
        ("yes", True),
        ("Off", False),
        ("0o17", "0o17"),
        ("017", 15),
        ("0x1F", 31),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        ("~", None),
        ("", None),
        ("2024-02-01", datetime.date(2024, 2, 1)),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("=", "="),
        ("!!binary aGk=", b"hi"),
        ("85%", "85%"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: []}}", {"a": {"b": []}}),
    ],
)
def test_plain_words_become_what_ansible_makes_of_them(written: str, value: object) -> None:
    found = load_yaml(f"v: {written}\n", "f.yml")["v"]
    assert found == value
    assert isinstance(found, type(value))


def test_tags_mark_texts() -> None:
    found = load_yaml("u: !unsafe '{{ x }}'\nv: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n", "f.yml")
    assert type(found["u"]) is Unsafe
    assert type(found["v"]) is VaultText
    assert found["v"].splitlines() == ["$ANSIBLE_VAULT;1.1;AES256", "6162"]
    assert found["v"].position == Position("f.yml", 2, 4)


def test_merge_keys_yield_to_what_the_mapping_says() -> None:
    found = load_yaml("a: &a {x: 1, z: 3}\nb: {x: 9, <<: *a}\nc: {<<: [{z: 0}, *a]}\n", "f.yml")
    assert found["b"] == {"x": 9, "z": 3}
    assert found["c"] == {"z": 0, "x": 1}
    assert found["b"].values_at["z"] == Position("f.yml", 1, 17)


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "--- ~\n"])
def test_an_empty_document_is_none(text: str) -> None:
    assert load_yaml(text, "f.yml") is None


def test_json_is_yaml() -> None:
    assert load_yaml('{"a": [1, true, null, "x\\n"]}', "f.json") == {"a": [1, True, None, "x\n"]}


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n")
    assert load_file(file) == {"a": "ä"}


def test_a_vault_file_is_opened_by_the_given_function(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n00\n")
    seen = []

    def decrypt(data: bytes, name: str) -> bytes:
        seen.append((data[:14], name))
        return b"a: 1\n"

    assert load_file(file, vault=decrypt) == {"a": 1}
    assert seen == [(b"$ANSIBLE_VAULT", str(file))]
    with pytest.raises(VaultError, match="--vault-password-file"):
        load_file(file)
