"""Who may start now: so many behind one jump host and of one rollout, and nobody waits for ever."""

import random
import uuid

from credentials.rollouts.gate import Gate, Gates

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def test_containers_without_a_group_never_wait() -> None:
    gate = Gate(1)
    assert all(gate.may_start(each, None) for each in ids(100))


def test_so_many_start_and_the_others_follow_in_their_order() -> None:
    gate = Gate(2)
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
    gate = Gate(1)
    first, second, third = ids(3)
    for each in (first, second):
        gate.may_start(each, ONE)
    assert gate.leave(first) == second
    assert not gate.may_start(third, ONE)  # the place is the second one's,
    assert gate.leave(second) == third  # whose work somebody else has done meanwhile


def test_who_never_came_in_takes_nobody_out() -> None:
    gate = Gate(1)
    first, second, stranger = ids(3)
    for each in (first, second):
        gate.may_start(each, ONE)
    assert gate.leave(stranger) is None


def test_whatever_the_order_all_get_their_turn_and_never_too_many() -> None:
    gate, chance = Gate(3), random.Random(7)
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


def test_who_waits_at_one_gate_holds_no_place_at_the_other() -> None:
    gates = Gates(per_jump_host=1, per_rollout=2)
    near, behind, behind_too, far = ids(4)
    assert gates.may_start(behind, jump_host=ONE, rollout=ONE) == (True, [])
    assert gates.may_start(behind_too, jump_host=ONE, rollout=ONE) == (
        False,
        [],
    )  # it waits for the jump host
    assert gates.may_start(near, jump_host=None, rollout=ONE) == (True, [])
    assert gates.may_start(far, jump_host=OTHER, rollout=ONE) == (False, [])  # it waits for the rollout
    stranger = uuid.uuid4()
    assert gates.may_start(stranger, jump_host=OTHER, rollout=OTHER) == (True, [])
    assert sorted(gates.leave(behind)) == sorted([behind_too, far])


def test_who_is_slow_gives_its_rollout_s_place_away_and_asks_again() -> None:
    gates = Gates(per_jump_host=8, per_rollout=1)
    slow, quick = ids(2)
    assert gates.may_start(slow, jump_host=None, rollout=ONE) == (True, [])
    assert gates.may_start(quick, jump_host=None, rollout=ONE) == (False, [])
    assert gates.is_slow(slow) == [quick]
    assert gates.may_start(quick, jump_host=None, rollout=ONE) == (True, [])
    assert gates.answers(slow) == (False, [])
    assert gates.leave(quick) == [slow]
    assert gates.answers(slow) == (True, [])


def test_at_two_gates_all_get_their_turn_and_never_too_many() -> None:
    gates, chance = Gates(per_jump_host=2, per_rollout=3), random.Random(11)
    line = ids(200)
    hosts = {each: chance.choice([None, ONE, OTHER]) for each in line}
    rollouts = {each: chance.choice([ONE, OTHER]) for each in line}
    everybody, inside, done = set(line), list[uuid.UUID](), set[uuid.UUID]()
    while line or inside:
        others: list[uuid.UUID] = []
        if line and chance.random() < 0.7:
            container = line.pop(0)
            may, others = gates.may_start(container, jump_host=hosts[container], rollout=rollouts[container])
            inside += [container] if may else []
        elif inside:
            leaving = inside.pop(chance.randrange(len(inside)))
            done.add(leaving)
            others = gates.leave(leaving)
        line[:0] = others
        for group in (ONE, OTHER):
            assert sum(hosts[each] == group for each in inside) <= 2
            assert sum(rollouts[each] == group for each in inside) <= 3
    assert done == everybody
