"""Who may start now: so many behind one jump host, and nobody waits for ever."""

import random
import uuid

from credentials.rollouts.gate import Gate

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def test_containers_without_a_jump_host_never_wait() -> None:
    gate = Gate(per_jump_host=1)
    assert all(gate.may_start(each, None) for each in ids(100))


def test_so_many_start_and_the_others_follow_in_their_order() -> None:
    gate = Gate(per_jump_host=2)
    first, second, third, fourth = ids(4)
    assert [gate.may_start(each, ONE) for each in (first, second, third, fourth)] == [
        True,
        True,
        False,
        False,
    ]
    assert gate.may_start(uuid.uuid4(), OTHER)
    assert gate.leave(second) == third
    assert gate.may_start(third, ONE)
    assert gate.leave(first) == fourth
    assert gate.leave(third) is None


def test_the_place_of_who_was_called_is_kept_until_it_comes_or_goes() -> None:
    gate = Gate(per_jump_host=1)
    first, second, third = ids(3)
    for each in (first, second):
        gate.may_start(each, ONE)
    assert gate.leave(first) == second
    assert not gate.may_start(third, ONE)  # the place is the second one's,
    assert gate.leave(second) == third  # whose work somebody else has done meanwhile


def test_who_never_came_in_takes_nobody_out() -> None:
    gate = Gate(per_jump_host=1)
    first, second, stranger = ids(3)
    for each in (first, second):
        gate.may_start(each, ONE)
    assert gate.leave(stranger) is None


def test_whatever_the_order_all_get_their_turn_and_never_too_many() -> None:
    gate, chance = Gate(per_jump_host=3), random.Random(7)
    line = [(each, chance.choice([ONE, OTHER])) for each in ids(200)]
    home = dict(line)
    inside: list[uuid.UUID] = []
    done: list[uuid.UUID] = []
    while line or inside:
        if line and chance.random() < 0.7:
            container, jump_host = line.pop(0)
            if gate.may_start(container, jump_host):
                inside.append(container)
        elif inside:
            done.append(inside.pop(chance.randrange(len(inside))))
            if following := gate.leave(done[-1]):
                line.insert(0, (following, home[following]))
        for each in (ONE, OTHER):
            assert sum(home[container] == each for container in inside) <= 3
    assert sorted(done) == sorted(home)
