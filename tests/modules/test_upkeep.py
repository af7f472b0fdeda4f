"""What wants looking after: certificates in files and on ports, passwords, backups, kernels; real files and TLS."""

import os
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.driver import interpreters
from tests.modules.running import _program, in_python, run, step

from remedy.modules.target import _x509, password_expiry
from remedy.modules.target.pending_reboot import newer

DAY = 86400


def certificate(subject, days, names=(), ended=None):
    """Return (certificate, key) in PEM, self-signed; `ended` is the very time at which it ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC).replace(microsecond=0)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=400))
    made = made.not_valid_after(ended or now + timedelta(days=days))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = made.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return (
        signed.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, form, plain),
    )


DER = next(
    _x509.blocks(certificate("any.example", 9, [x509.DNSName("any.example")])[0].splitlines(keepends=True))
)


@pytest.fixture
def folder(tmp_path):
    """A folder as servers have it: one that expires, one that has, one with its key, and keys that nobody may read."""
    soon, key = certificate("soon.example", 5, [x509.DNSName("soon.example")])
    (tmp_path / "soon.crt").write_bytes(soon)
    (tmp_path / "gone.pem").write_bytes(certificate("gone.example", -3)[0])
    (tmp_path / "both.pem").write_bytes(key + certificate("both.example", 200)[0])
    # Whoever opens these to read never comes back.
    os.mkfifo(tmp_path / "privkey.pem")
    os.mkfifo(tmp_path / "shop-key.pem")
    (tmp_path / "private").mkdir()
    os.mkfifo(tmp_path / "private" / "shop.pem")
    return tmp_path


@pytest.mark.parametrize("ended", [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1999, 1, 2, tzinfo=UTC),
                                   datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC)])  # fmt: skip
def test_a_certificate_is_read_as_its_library_reads_it(ended):
    names = [x509.DNSName("a.example"), x509.IPAddress(ip_address("192.0.2.7"))]
    key = ec.generate_private_key(ec.SECP256R1())
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Grüne Läden")
    issuer = x509.Name([organization])
    subject = x509.Name([organization, x509.NameAttribute(x509.NameOID.COMMON_NAME, "läden.example")])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(77).not_valid_before(datetime(1990, 5, 6, tzinfo=UTC)).not_valid_after(ended)
    signed = made.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    about = _x509.read(signed.public_bytes(serialization.Encoding.DER))
    assert (about["subject"], about["issuer"]) == ("läden.example", "Grüne Läden")
    assert about["names"] == ["a.example", "192.0.2.7"]
    assert about["not_after"] == ended.timestamp()
    assert about["not_before"] == datetime(1990, 5, 6, tzinfo=UTC).timestamp()
    assert about["sha256"] == signed.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    "broken", [b"", b"0", b"\x30\x03\x02\x01\x05", b"\x30\x84\xff\xff\xff\xff", b"x" * 300]
)
def test_what_is_no_certificate_is_told_so(broken):
    with pytest.raises(ValueError, match="it is"):
        _x509.read(broken)


def test_any_cut_of_a_certificate_is_told_so():
    der = next(
        _x509.blocks(
            certificate("cut.example", 9, [x509.DNSName("cut.example")])[0].splitlines(keepends=True)
        )
    )
    assert _x509.read(der)["subject"] == "cut.example"
    for length in range(0, len(der), 7):
        with pytest.raises(ValueError, match=r"it is|its time"):
            _x509.read(der[:length])


@given(st.binary(min_size=1, max_size=4), st.integers(min_value=0, max_value=240))
@settings(max_examples=60, deadline=None)
def test_whatever_is_in_a_certificate_raises_nothing_else(noise, at):
    der = bytearray(DER)
    der[at : at + len(noise)] = noise
    with suppress(ValueError):
        assert set(_x509.read(bytes(der))) >= {"subject", "not_after"}


@pytest.mark.parametrize("interpreter", interpreters())
def test_certificates_in_files_on_every_python(interpreter, folder):
    listening, served = serving(folder)
    steps = [
        step("certificate_expiry", paths=[str(folder)], ports=[], within="30d"),
        step("certificate_expiry", paths=[], ports=[f"127.0.0.1:{served}", "127.0.0.1:1"], within="30d"),
        step("backup_age", path=f"{folder}/*.pem", max_age="1h"),
        step("password_expiry"),
        step("pending_reboot"),
        step("failed_units"),
    ]
    with listening:
        found = in_python(interpreter, *steps)
    assert [each["status"] for each in found] == ["ok"] * 6, found
    files, ports = found[0]["result"], found[1]["result"]
    told = [(each["subject"], each["expired"], round(each["days"])) for each in files["certificates"]]
    assert told == [("gone.example", True, -3), ("soon.example", False, 5), ("both.example", False, 200)]
    assert [each["subject"] for each in files["expiring"]] == ["gone.example", "soon.example"]
    assert files["unknown"] == []
    assert "PRIVATE" not in str(found)
    if ports["certificates"]:  # some Pythons at hand have no ssl
        assert ports["expiring"][0]["subject"] == "soon.example"
        assert ports["expiring"][0]["served"]
    assert "127.0.0.1:1" in [each["place"] for each in ports["unknown"]]


def serving(folder):
    """Return (a listening socket, its port); who connects is shown the certificate that expires."""
    pem, key = certificate("soon.example", 5, [x509.DNSName("soon.example")])
    (folder / "served").mkdir(exist_ok=True)
    chain = folder / "served" / "chain"
    chain.write_bytes(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    listening = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                line, _ = listening.accept()
                with context.wrap_socket(line, server_side=True) as shown:
                    shown.recv(1)
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=answer, daemon=True).start()
    return listening, listening.getsockname()[1]


def test_one_that_was_renewed_and_not_read_is_told(folder):
    listening, port = serving(folder)
    (folder / "soon.crt").write_bytes(certificate("soon.example", 300, [x509.DNSName("soon.example")])[0])
    with listening:
        found = run("certificate_expiry", paths=[str(folder / "soon.crt")], ports=[str(port)])["result"]
    (expiring,) = found["expiring"]
    assert expiring["served"]
    assert expiring["places"] == [f"127.0.0.1:{port}"]
    assert expiring["renewed"] == str(folder / "soon.crt")


def test_what_cannot_be_read_and_what_is_left_out(folder):
    (folder / "torn.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    found = run("certificate_expiry", paths=[f"{folder}/*.pem"], ports=[], excludes=["*/gone.pem"])["result"]
    assert [each["subject"] for each in found["certificates"]] == ["both.example"]
    assert [(each["place"], each["why"]) for each in found["unknown"]] == [
        (f"{folder}/torn.pem", "it is no DER")
    ]
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        found = run("certificate_expiry", paths=[], ports=[str(port)], timeout="300ms")["result"]
        assert time.monotonic() - began < 10
    assert [each["place"] for each in found["unknown"]] == [f"127.0.0.1:{port}"]


def test_ages_of_backups(tmp_path):
    def age(**given):
        return run("backup_age", path=f"{tmp_path}/*.gz*", **given)["result"]

    assert age()["trouble"] == "there is none"
    old, new = tmp_path / "a.gz", tmp_path / "b.gz"
    old.write_bytes(b"x" * 100)
    os.utime(old, (0, time.time() - 3 * DAY))
    assert age(max_age="2d")["trouble"] == "the newest is 3.0 days old; it may be 2.0 days"
    assert age(max_age="4d")["trouble"] is None
    new.write_bytes(b"x" * 10)
    (tmp_path / "b.gz.json").write_text("{}")
    found = age(min_size=50)
    assert found["trouble"] == "the newest holds 10 bytes, less than 50"
    assert (found["newest"]["path"], found["count"], found["total"]) == (str(new), 2, 110)
    folder = tmp_path / "c.gz"
    folder.mkdir()
    (folder / "data").write_bytes(b"x" * 500)
    assert age(min_size=50)["trouble"] is None
    assert age()["newest"]["size"] == 500


def test_when_passwords_and_accounts_end():
    today = 20000.5
    ends = password_expiry._ends
    fields = "{0}:{1}:{2}:0:{3}:7::{4}:".format
    assert ends(fields("root", "$y$h", 19000, 99999, "").split(":"), today) is None
    assert ends(fields("keys", "!", 19990, 20, "").split(":"), today) is None
    assert ends(fields("daemon", "*", 19990, 20, "").split(":"), today) is None
    soon = ends(fields("ann", "$y$h", 19990, 20, "").split(":"), today)
    assert (soon["what"], soon["days"], soon["expired"]) == ("password", 9.5, False)
    assert "$y$h" not in str(soon)
    ended = ends(fields("bob", "!", 19990, 99999, 19999).split(":"), today)
    assert (ended["what"], ended["expired"], ended["account_expires"]) == ("account", True, "2024-10-03")
    first = ends(fields("eve", "$y$h", 19990, 20, 20002).split(":"), today)
    assert (first["what"], first["days"]) == ("account", 1.5)
    change = ends(fields("joe", "$y$h", 0, 99999, "").split(":"), today)
    assert (change["what"], change["expired"]) == ("change", True)
    assert ends(["nobody"], today) is None


@pytest.mark.parametrize(("running", "installed", "found"), [
    ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-10-amd64"], "6.1.0-10-amd64"),
    ("6.1.0-10-amd64", ["6.1.0-9-amd64", "6.1.0-10-amd64"], None),
    ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-10-cloud-amd64"], None),
    ("5.14.0-362.8.1.el9_3.x86_64", ["5.14.0-362.18.1.el9_3.x86_64"], "5.14.0-362.18.1.el9_3.x86_64"),
    ("6.12.38+deb13-amd64", ["6.12.41+deb13-amd64"], "6.12.41+deb13-amd64"),
    ("6.5.0-15-generic", ["6.5.0-15-generic"], None),
    ("6.5.0-15-generic", [], None),
])  # fmt: skip
def test_which_kernel_is_newer(running, installed, found):
    assert newer(running, installed) == found


def test_a_program_that_was_replaced_is_told(tmp_path):
    # In a mount namespace of its own /usr/local/bin is ours; the program there is deleted while it runs.
    script = """
    mount -t tmpfs none /usr/local/bin && cp /bin/sleep /usr/local/bin/worker
    /usr/local/bin/worker 60 & until [ "$(readlink /proc/$!/exe)" = /usr/local/bin/worker ]; do sleep .01; done
    rm /usr/local/bin/worker; exec "$0" -I -B -W error -
    """
    done = subprocess.run(
        ["unshare", "-mpf", "--kill-child", "--mount-proc", "sh", "-ec", script, "/usr/bin/python3"],
        input=_program([step("pending_reboot")]), stdout=subprocess.PIPE, check=True, timeout=60,
    )  # fmt: skip
    assert b"/usr/local/bin/worker" in done.stdout
