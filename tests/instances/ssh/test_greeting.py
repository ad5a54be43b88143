"""What the first bytes of the other side tell, and how little of them gets through."""

import pytest

from instances import ssh
from instances.ssh import greeting

OURS = {
    "Key exchange": ("curve25519-sha256", "ecdh-sha2-nistp256"),
    "Host key": ("ssh-ed25519", "rsa-sha2-512"),
    "Cipher": ("aes256-ctr", "aes256-gcm@openssh.com"),
    "MAC": ("hmac-sha2-256",),
}
NAME = b"SSH-2.0-OpenSSH_9.9\r\n"


def offer(**changes: str) -> bytes:
    """A server's identification and its list of algorithms, as on the wire (RFC 4253, 7.1)."""
    lists = {
        "kex": "curve25519-sha256,ext-info-s",
        "host_key": "ssh-ed25519",
        "cipher": "aes256-ctr",
        "cipher_back": "aes256-ctr",
        "mac": "hmac-sha2-256",
        "mac_back": "hmac-sha2-256",
    } | changes
    payload = b"\x14" + b"c" * 16
    for names in lists.values():
        encoded = names.encode()
        payload += len(encoded).to_bytes(4) + encoded
    payload += b"\0\0\0\4none" * 2 + b"\0" * 13
    return NAME + (len(payload) + 1 + 4).to_bytes(4) + b"\x04" + payload + b"pads"


@pytest.mark.parametrize(
    ("changes", "error", "kind", "theirs"),
    [
        (
            {"cipher": "chacha20-poly1305@openssh.com"},
            ssh.NoCommonAlgorithm,
            "Cipher",
            "chacha20-poly1305@openssh.com",
        ),
        (
            {"kex": "sntrup761x25519-sha512@openssh.com,kex-strict-s-v00@openssh.com"},
            ssh.NoCommonAlgorithm,
            "Key exchange",
            "sntrup761x25519-sha512@openssh.com;",
        ),
        ({"mac": "umac-128-etm@openssh.com"}, ssh.NoCommonAlgorithm, "MAC", "umac-128-etm@openssh.com"),
        (
            {"host_key": "sk-ssh-ed25519@openssh.com"},
            ssh.NoCommonAlgorithm,
            "Host key",
            "sk-ssh-ed25519@openssh.com",
        ),
        ({"cipher": "chacha20-poly1305@openssh.com,3des-cbc"}, ssh.NoCommonAlgorithm, "Cipher", "3des-cbc"),
        ({"cipher": "aes128-cbc,3des-cbc"}, ssh.SSHTooOld, "Cipher", "aes128-cbc, 3des-cbc"),
        ({"kex": "diffie-hellman-group1-sha1"}, ssh.SSHTooOld, "Key exchange", "group1-sha1"),
        ({"host_key": "ssh-rsa,ssh-dss"}, ssh.SSHTooOld, "Host key", "ssh-rsa, ssh-dss"),
        ({"mac": "hmac-sha1-etm@openssh.com"}, ssh.SSHTooOld, "MAC", "hmac-sha1-etm"),
        ({"cipher": ""}, ssh.NoCommonAlgorithm, "Cipher", "nothing"),
    ],
)
def test_both_lists_are_told_where_nothing_is_common(
    changes: dict[str, str], error: type[ssh.SSHError], kind: str, theirs: str
) -> None:
    found = greeting.failure(offer(**changes), OURS)
    assert type(found) is error
    (detail,) = found.details
    assert detail.startswith(f"{kind}: the server offers ")
    offered, _, mine = detail.partition("; the portal has ")
    assert theirs in f"{offered};"
    assert mine == f"{', '.join(OURS[kind])}."
    assert "strict" not in detail


def test_every_kind_that_lacks_is_told() -> None:
    found = greeting.failure(offer(kex="sntrup", mac="umac"), OURS)
    assert [detail.split(":")[0] for detail in found.details] == ["Key exchange", "MAC"]


def test_a_server_that_offers_what_we_have_broke_off_for_another_reason() -> None:
    assert type(greeting.failure(offer(), OURS)) is ssh.ConnectionLost
    late = ssh.TimedOut()
    assert greeting.failure(offer(), OURS, late) is late


@pytest.mark.parametrize(
    ("heard", "error", "says"),
    [
        (b"", ssh.TurnedAway, ""),
        (b"Not allowed at this time\r\n", ssh.TurnedAway, "“Not allowed at this time”"),
        (b"Exceeded MaxStartups\r\n", ssh.TurnedAway, "Exceeded MaxStartups"),
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", ssh.NotSSH, "a web server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", ssh.NotSSH, "TLS"),
        (b"\xff\xfd\x18\xff\xfd\x20", ssh.NotSSH, "Telnet"),
        (b"220 mail ESMTP\r\n", ssh.NotSSH, "a mail or FTP server"),
        (b"J\x00\x00\x00\x0a8.0.36\x00", ssh.NotSSH, "MySQL"),
        (b"Welcome\r\n" * 300, ssh.NotSSH, "2,700 bytes without"),
        (b"x" * greeting.HEARD_LIMIT, ssh.NotSSH, "more than 8,192 bytes"),
        (b"SSH-1.5-Cisco-1.25\r\n", ssh.SSHTooOld, "SSH-1.5-Cisco-1.25"),
        (b"Hello\r\nSSH-2.0-OpenSSH_9.9\r\n", ssh.ConnectionLost, ""),
        (NAME + b"\xff" * 100, ssh.ConnectionLost, ""),
        (offer()[:80], ssh.ConnectionLost, ""),
    ],
)
def test_who_answered_is_told(heard: bytes, error: type[ssh.SSHError], says: str) -> None:
    found = greeting.failure(heard, OURS)
    assert type(found) is error
    assert says in " ".join(found.details)


@pytest.mark.parametrize(
    ("heard", "error"), [(b"", ssh.Silent), (b"Please wait\r\n", ssh.NotSSH), (NAME, ssh.TimedOut)]
)
def test_a_wait_that_ended_tells_less(heard: bytes, error: type[ssh.SSHError]) -> None:
    assert type(greeting.failure(heard, OURS, ssh.TimedOut())) is error


def test_words_of_the_other_side_are_cleaned_and_cut() -> None:
    secret = "p8e-" + "S3cretS3cretS3cretS3cretS3cretS3"
    heard = f"\x1b[31mred\u202eevil\x00 <b>{secret}</b> {'long ' * 90}\r\n".encode()
    (said,) = greeting.failure(heard, OURS).details
    assert said.isprintable()
    assert len(said) < 150
    assert "S3cret" not in said


def test_a_list_of_the_other_side_is_cleaned_and_cut() -> None:
    names = ",".join(["x" * 900, "\u202e\x1b[0m", "p8e-" + "S3cret" * 5, *(f"name{n}" for n in range(800))])
    (detail,) = greeting.failure(offer(cipher=names), OURS).details
    assert detail.isprintable()
    assert len(detail) < 500
    assert "S3cret" not in detail
    assert "791 more" in detail
