"""What known_hosts files say: every form of line, and what damaged ones do (nothing)."""

from __future__ import annotations

import base64

import pytest

from remedy.transport import knownhosts
from remedy.transport.knownhosts import CHANGED, GOOD, REVOKED, UNKNOWN, KnownHosts, line_for, load, parse

ED = "ssh-ed25519"
A, B = b"key a", b"key b"


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def known(*lines: str) -> KnownHosts:
    return KnownHosts(parse("\n".join(lines).encode(), "known_hosts"))


def status(hosts: KnownHosts, name: str, key: bytes = A, kind: str = ED) -> str:
    return hosts.check([name], kind, key).status


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("web1", "web1", GOOD),
        ("web1", "web2", UNKNOWN),
        ("WEB1", "web1", GOOD),
        ("db1,web1", "web1", GOOD),
        ("web?", "web1", GOOD),
        ("web?", "web10", UNKNOWN),
        ("*.example.org", "a.example.org", GOOD),
        ("*.example.org,!b.example.org", "b.example.org", UNKNOWN),
        ("!b.example.org,*.example.org", "a.example.org", GOOD),
        ("[10.0.0.1]:2222", "[10.0.0.1]:2222", GOOD),
        ("[10.0.0.*]:2222", "[10.0.0.1]:2222", GOOD),
        ("[10.0.0.*]:2222", "10.0.0.1", UNKNOWN),
        ("10.0.0.1", "[10.0.0.1]:2222", UNKNOWN),
    ],
)
def test_patterns(pattern, name, expected):
    assert status(known(f"{pattern} {ED} {text(A)}"), name) == expected


def test_another_key_of_the_same_type_is_a_change_and_of_another_type_is_not():
    hosts = known(f"web1 {ED} {text(B)}")
    assert status(hosts, "web1") == CHANGED
    assert status(hosts, "web1", kind="ssh-rsa") == UNKNOWN


def test_any_of_several_keys_is_good():
    hosts = known(f"web1 {ED} {text(B)}", f"web1 {ED} {text(A)}")
    assert status(hosts, "web1", A) == status(hosts, "web1", B) == GOOD


def test_a_revoked_key_is_refused_even_where_another_line_knows_it():
    hosts = known(f"web1 {ED} {text(A)}", f"@revoked * {ED} {text(A)}")
    assert status(hosts, "web1") == REVOKED
    assert status(hosts, "web1", B) == CHANGED


def test_an_authority_is_not_a_host_key():
    verdict = known(f"@cert-authority *.example.org {ED} {text(A)}").check(["a.example.org"], ED, A)
    assert verdict.status == UNKNOWN
    assert [entry.line for entry in verdict.authorities] == [1]


def test_hashed_names():
    line = line_for("[web1]:2222", ED, A, hashed=True, salt=b"s" * 20)
    assert "web1" not in line
    assert status(known(line), "[web1]:2222") == GOOD
    assert status(known(line), "web1") == UNKNOWN


def test_a_line_without_port_can_confirm_but_not_contradict():
    hosts = known(f"web1 {ED} {text(A)}")
    assert hosts.check(["[web1]:2222", "web1"], ED, A).status == GOOD
    assert hosts.check(["[web1]:2222", "web1"], ED, B).status == UNKNOWN


def test_damaged_lines_cost_nothing_but_themselves():
    hosts = KnownHosts(
        parse(
            b"# comment\n\nweb1\nweb1 ssh-ed25519\nweb1 ssh-ed25519 not*base64\n@what web1 ssh-ed25519 aaaa\n"
            b"w\xff\xfe ssh-ed25519 AAAA\n|1|broken ssh-ed25519 AAAA\n|1|%%|== ssh-ed25519 AAAA\n"
            + f"web1 {ED} {text(A)} a comment of words\n".encode(),
            "known_hosts",
        )
    )
    assert status(hosts, "web1") == GOOD


def test_several_files_count_as_one_and_a_missing_one_as_none(tmp_path):
    (tmp_path / "a").write_text(f"web1 {ED} {text(B)}\n")
    (tmp_path / "b").write_text(f"web1 {ED} {text(A)}\n")
    hosts = load([str(tmp_path / "a"), str(tmp_path / "none"), str(tmp_path / "b")])
    assert status(hosts, "web1") == GOOD


def test_algorithms_to_ask_for_follow_what_is_known():
    hosts = known(
        f"web1 ssh-rsa {text(A)}", f"web1 {ED} {text(B)}", f"@revoked web1 x {text(A)}", f"db1 y {text(A)}"
    )
    assert hosts.kinds(["web1"]) == ("rsa-sha2-512", "rsa-sha2-256", ED)


def test_fingerprints_look_as_those_of_ssh():
    assert knownhosts.fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
