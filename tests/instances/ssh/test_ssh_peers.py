"""Servers that do not behave: every conversation with them ends in time, and leaves nothing behind."""

import threading

import pytest

from instances import ssh
from tests.instances.ssh.ssh_peers import (
    POLICY,
    SHORT,
    Behaviour,
    Drips,
    EndsWithoutStatus,
    Floods,
    HangsUp,
    NeverAuthenticates,
    NeverOpens,
    NeverStarts,
    RefusesAuthentication,
    RefusesToStart,
    Server,
    SpeaksThenStops,
    WantsMore,
    WantsPasswords,
    banner_lines,
    banner_only,
    connect,
    descriptors,
    drips_a_banner,
    ended_in_time,
    endless_lines,
    floods_a_banner,
    hangs_up,
    hangs_up_after_banner,
    huge_packet,
    nothing_left,
    peer,
    run,
    server,
    silent,
    too_many,
    wait_for_count,
    web_server,
)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (silent, ssh.Silent),
        (drips_a_banner, ssh.NotSSH),
        (floods_a_banner, ssh.NotSSH),
        (endless_lines, ssh.NotSSH),
        (banner_lines, ssh.NotSSH),
        (banner_only, ssh.TimedOut),
        (huge_packet, ssh.ConnectionLost),
        (web_server, ssh.NotSSH),
        (hangs_up, ssh.TurnedAway),
        (hangs_up_after_banner, ssh.ConnectionLost),
        (too_many, ssh.TurnedAway),
    ],
)
def test_a_peer_that_does_not_negotiate(behaviour: Behaviour, error: type[ssh.SSHError]) -> None:
    with peer(behaviour) as port, nothing_left(within=15):
        with pytest.raises(error) as caught:
            connect(port)
        assert type(caught.value) is error


@pytest.mark.parametrize("behaviour", [silent, floods_a_banner, huge_packet])
def test_a_scan_of_a_peer_that_does_not_negotiate(behaviour: Behaviour) -> None:
    with peer(behaviour) as port, nothing_left(within=15), pytest.raises(ssh.SSHError):
        ssh.scan("127.0.0.1", port, policy=POLICY, deadlines=SHORT)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (NeverAuthenticates, ssh.TimedOut),
        (RefusesAuthentication, ssh.LoginRefused),
        (WantsMore, ssh.LoginRefused),
        (WantsPasswords, ssh.LoginRefused),
    ],
)
def test_a_server_that_does_not_let_in(kind: type[Server], error: type[ssh.SSHError]) -> None:
    with peer(server(kind)) as port, ended_in_time(15), pytest.raises(error):
        connect(port)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(NeverOpens, ssh.TimedOut), (NeverStarts, ssh.TimedOut), (RefusesToStart, ssh.CommandRefused)],
)
def test_a_server_that_does_not_start_the_command(kind: type[Server], error: type[ssh.SSHError]) -> None:
    with peer(server(kind)) as port, connect(port) as connection, ended_in_time(15), pytest.raises(error):
        connection.talk("true")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Server, ssh.TimedOut),
        (SpeaksThenStops, ssh.TimedOut),
        (Drips, ssh.TimedOut),
        (Floods, ssh.TooMuchOutput),
        (HangsUp, ssh.ConnectionLost),
    ],
)
def test_a_server_that_does_not_come_to_an_end(kind: type[Server], error: type[ssh.SSHError]) -> None:
    limit = 10 if kind is Floods else 0.5
    with (
        peer(server(kind)) as port,
        connect(port) as connection,
        ended_in_time(limit + 15),
        pytest.raises(error),
    ):
        run(connection, limit)


def test_an_end_without_a_status_is_told_as_such() -> None:
    with peer(server(EndsWithoutStatus)) as port, connect(port) as connection:
        talk = connection.talk("true")
        assert talk.read_to_end(5) == b"bye\n"
        assert talk.exit_status(5) is None


@pytest.mark.parametrize(
    "behaviour", [silent, banner_only, hangs_up, server(NeverAuthenticates), server(RefusesAuthentication)]
)
def test_no_thread_and_no_descriptor_stays(behaviour: Behaviour) -> None:
    before = threading.active_count(), descriptors()
    with peer(behaviour) as port:
        for _ in range(2):
            with pytest.raises(ssh.SSHError):
                connect(port)
    wait_for_count(before)


@pytest.mark.parametrize("behaviour", [silent, server(NeverAuthenticates)])
def test_a_tick_can_end_a_wait_for_a_connection(behaviour: Behaviour) -> None:
    def tick() -> None:
        raise InterruptedError

    with peer(behaviour) as port, ended_in_time(15), pytest.raises(InterruptedError):
        connect(port, tick, ssh.Deadlines())


class TestExcerpt:
    def test_short_output_stays_whole(self) -> None:
        excerpt = ssh.Excerpt()
        excerpt.add(b"a\n")
        excerpt.add(b"b\n")
        assert excerpt.text() == b"a\nb\n"

    def test_what_just_fits_stays_whole(self) -> None:
        excerpt = ssh.Excerpt(head_limit=10, tail_limit=10)
        excerpt.add(b"x" * 20)
        assert excerpt.text() == b"x" * 20

    def test_memory_stays_bounded(self) -> None:
        excerpt = ssh.Excerpt(head_limit=10, tail_limit=10)
        for _ in range(1000):
            excerpt.add(b"01 234 678")
        assert excerpt.text() == b"01 234 \n[...]\n 234 678"
        assert len(excerpt._head) + len(excerpt._tail) == 20

    @pytest.mark.parametrize("blank", [b" ", b"\n", b"."])
    def test_a_secret_is_whole_or_gone(self, blank: bytes) -> None:
        for position in range(60):
            excerpt = ssh.Excerpt(head_limit=18, tail_limit=18)
            excerpt.add(b"log:" + blank * position + b"SECRET" + blank * (60 - position))
            text = excerpt.text()
            assert b"SECRET" in text or not set(text) & set(b"SECRET")
