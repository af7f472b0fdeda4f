"""The vault opens what ansible-vault wrote, and says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.document import Text, load_file, load_yaml
from remedy.errors import InputError, Position, VaultError
from remedy.secret import MASK, Secrets
from remedy.template import Layer, Templar, Vault, encrypt, read_password_file

FOLDER = Path(__file__).parent
FIRST, SECOND = ("", b"correct horse"), ("prod", b"second")


def test_scalars_that_ansible_wrote() -> None:
    secrets = Secrets()
    templar = Templar(secrets, Vault([FIRST, SECOND]))
    scope = templar.scope([Layer("vars", load_file(FOLDER / "vault_scalars.yml")), Layer("more", {"x": 1})])
    assert scope.get("secret") == "pässword 1"  # what is in the vault is the author's, and a template
    assert type(scope.get("labelled")) is str
    assert templar.render(Text("<{{ labelled }}>"), scope) == "<labelled value>"
    assert secrets.mask("see: labelled value") == f"see: {MASK}"


def test_a_whole_file_that_ansible_wrote() -> None:
    found = load_file(FOLDER / "vault_whole.yml", vault=Vault([SECOND, FIRST]).open)
    assert found == {"user": "admin", "port": 3306}
    assert found["user"].position == Position(str(FOLDER / "vault_whole.yml"), 1, 7)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=20), st.sampled_from(["", "prod"]))
@settings(max_examples=25, deadline=None)
def test_what_was_encrypted_comes_back(plain: bytes, password: bytes, label: str) -> None:
    data = encrypt(plain, password, label=label)
    assert max(map(len, data.splitlines())) <= 80
    assert Vault([("other", b"\0wrong"), (label, password)]).decrypt(data) == plain


def test_a_wrong_password_names_the_place_and_what_was_tried() -> None:
    document = load_file(FOLDER / "vault_scalars.yml")
    templar = Templar(Secrets(), Vault([("", b"wrong"), ("dev", b"wrong too")]))
    scope = templar.scope([Layer("vars", document)])
    with pytest.raises(VaultError) as caught:
        scope.get("labelled")
    path = FOLDER / "vault_scalars.yml"
    assert str(caught.value).startswith(
        f"{path}:8:11: no password fits for the vault id 'prod': the password is"
    )
    assert caught.value.hint == "tried: default, dev"


@pytest.mark.parametrize("vault", [None, Vault([])])
def test_without_a_password_the_error_says_how_to_give_one(vault: Vault | None) -> None:
    templar = Templar(Secrets(), vault)
    scope = templar.scope([Layer("vars", load_file(FOLDER / "vault_scalars.yml"))])
    with pytest.raises(
        VaultError, match="no vault password was given\n  give one with --vault-password-file"
    ):
        templar.render(Text("{{ secret | default('x') }}"), scope)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hello", "this is no vaulted value"),
        ("$ANSIBLE_VAULT;1.0;AES", "the vault format 1.0 with AES is not supported"),
        ("$ANSIBLE_VAULT;1.1;AES256\nxyz", "the vaulted value is damaged"),
        (
            "$ANSIBLE_VAULT;1.1;AES256\n6161",
            "the vaulted value is damaged: salt, checksum and content were expected",
        ),
    ],
)
def test_damaged_values(text: str, error: str) -> None:
    with pytest.raises(VaultError, match=error):
        Vault([FIRST]).reveal(text)


def test_a_changed_byte_is_noticed() -> None:
    data = bytearray(encrypt(b"hello", b"pw"))
    data[-2] = ord("0") if data[-2] != ord("0") else ord("1")
    with pytest.raises(VaultError):
        Vault([("", b"pw")]).decrypt(bytes(data))


def test_a_vaulted_value_that_is_no_text() -> None:
    with pytest.raises(VaultError, match="no text"):
        Vault([("", b"pw")]).reveal(encrypt(b"\xff\xfe", b"pw").decode())


@pytest.mark.parametrize(
    "template",
    [
        "{{ pw | b64encode }}",
        "{{ pw | hash('sha256') }}",
        "{{ pw | urlencode }}",
        "{{ pw | upper }}",
        "{{ {'a': pw} | to_json }}",
        "{{ 'x' ~ pw }}",
    ],
)
def test_what_is_derived_from_a_secret_is_masked(template: str) -> None:
    secrets = Secrets()
    templar = Templar(secrets, Vault([("", b"k")]))
    document = load_yaml("pw: !vault |\n" + _indented(encrypt(b'se"cret word', b"k")), "f.yml")
    found = templar.render(Text(template), templar.scope([Layer("vars", document)]))
    assert MASK in secrets.mask(f"out: {found}")
    assert "cret" not in secrets.mask(f"out: {found}").lower()


def test_a_choice_made_by_a_secret_is_no_secret() -> None:
    secrets = Secrets()
    templar = Templar(secrets, Vault([("", b"k")]))
    document = load_yaml("pw: !vault |\n" + _indented(encrypt(b"secret word", b"k")), "f.yml")
    scope = templar.scope([Layer("vars", document)])
    assert templar.render(Text("{{ pw | ternary('enabled', 'disabled') }}"), scope) == "enabled"
    assert secrets.mask("enabled") == "enabled"


def _indented(data: bytes) -> str:
    return "".join(f"  {line}\n" for line in data.decode().splitlines())


def test_password_files(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("  horse \n")
    file.chmod(0o600)
    assert read_password_file(file) == b"horse"


def test_password_programs(tmp_path: Path) -> None:
    program = tmp_path / "ask-client"
    program.write_text('#!/bin/sh\necho "pw for $2"\n')
    program.chmod(0o700)
    assert read_password_file(program, label="prod") == b"pw for prod"
    assert read_password_file(program) == b"pw for"


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        ("\n", 0o600, "the vault password is empty"),
        ("#!/bin/sh\necho bad >&2; exit 4\n", 0o700, "failed with exit status 4: bad"),
        ("just a password\n", 0o700, "cannot be run"),
        ("#!/bin/sh\nexec sleep 60\n", 0o700, r"did not end within 0\.2 s"),
        ("#!/bin/sh\n", 0o700, "the vault password is empty"),
    ],
)
def test_password_files_that_give_none(tmp_path: Path, text: str, mode: int, error: str) -> None:
    file = tmp_path / "pw"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(InputError, match=error):
        read_password_file(file, deadline=0.2)


def test_a_missing_password_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_password_file(tmp_path / "none")
