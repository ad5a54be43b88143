"""Who may start next: so many behind one jump host and of one rollout, in turns; nobody waits for ever."""

import random
import uuid
from collections import Counter

from credentials.rollouts.gate import Gates, Way

ONE, OTHER, THIRD = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
DIRECT, NAMED = Way(), Way(by_name=True)


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def behind(jump_host: uuid.UUID) -> Way:
    return Way(jump_host=jump_host)


def make(*, per_rollout: int = 100, shared: int = 100, per_jump_host: int = 100, lookups: int = 100) -> Gates:
    return Gates(per_rollout=per_rollout, shared=shared, per_jump_host=per_jump_host, lookups=lookups)


def waiting(
    gates: Gates, count: int, *, rollout: uuid.UUID | None = ONE, way: Way = DIRECT
) -> list[uuid.UUID]:
    """Containers that have come to the gates."""
    made = ids(count)
    for each in made:
        gates.wait(each, rollout=rollout, way=way)
    return made


def all_that_may(gates: Gates) -> list[uuid.UUID]:
    return list(iter(gates.following, None))


def test_whom_nothing_limits_never_waits() -> None:
    gates = make(per_jump_host=1, lookups=1)
    made = waiting(gates, 100)
    assert all_that_may(gates) == made


def test_so_many_of_a_rollout_start_and_the_others_follow_in_their_order() -> None:
    gates = make(per_rollout=2)
    first, second, third, fourth = waiting(gates, 4)
    assert all_that_may(gates) == [first, second]
    stranger = waiting(gates, 1, rollout=OTHER)
    assert all_that_may(gates) == stranger
    gates.leave(second)
    assert all_that_may(gates) == [third]
    gates.leave(first)
    assert all_that_may(gates) == [fourth]
    gates.leave(third)
    assert all_that_may(gates) == []


def test_who_never_came_in_takes_nobody_out() -> None:
    gates = make(per_rollout=1)
    first, _second = waiting(gates, 2)
    assert all_that_may(gates) == [first]
    gates.leave(uuid.uuid4())
    assert all_that_may(gates) == []


def test_who_waits_is_told_from_who_is_inside() -> None:
    gates = make(per_rollout=1)
    first, second = waiting(gates, 2)
    assert (gates.following(), gates.waits(first), gates.waits(second)) == (first, False, True)


def test_rollouts_take_turns_however_long_one_has_waited() -> None:
    gates = make()
    large, late = waiting(gates, 4), waiting(gates, 2, rollout=OTHER)
    assert all_that_may(gates) == [large[0], late[0], large[1], late[1], large[2], large[3]]


def test_who_has_the_fewest_inside_is_next() -> None:
    gates = make(per_rollout=3, shared=4)
    first, second = waiting(gates, 9), waiting(gates, 9, rollout=OTHER)
    assert set(all_that_may(gates)) == {*first[:2], *second[:2]}
    gates.leave(first[0])
    gates.leave(first[1])
    gates.leave(second[0])
    assert all_that_may(gates) == [first[2], second[2], first[3]]


def test_beside_two_large_rollouts_the_first_of_another_finds_a_place() -> None:
    gates = make(per_rollout=7, shared=7)
    waiting(gates, 100)
    waiting(gates, 100, rollout=OTHER)
    assert len(all_that_may(gates)) == 7
    retry, second = waiting(gates, 2, rollout=THIRD)
    assert all_that_may(gates) == [retry]
    gates.leave(retry)
    assert all_that_may(gates) == [second]


def test_who_waits_for_a_jump_host_holds_no_place_of_its_rollout() -> None:
    gates = make(per_rollout=2, per_jump_host=1)
    far = waiting(gates, 2, way=behind(ONE))
    near = waiting(gates, 2)
    assert all_that_may(gates) == [far[0], near[0]]
    stranger = waiting(gates, 1, rollout=OTHER, way=behind(OTHER))
    assert all_that_may(gates) == stranger
    gates.leave(near[0])
    assert all_that_may(gates) == [near[1]]
    gates.leave(far[0])
    assert all_that_may(gates) == [far[1]]


def test_who_waits_for_its_rollout_holds_no_place_at_its_jump_host() -> None:
    gates = make(per_rollout=1, per_jump_host=1)
    near = waiting(gates, 1)
    waiting(gates, 1, way=behind(ONE))
    assert all_that_may(gates) == near
    stranger = waiting(gates, 1, rollout=OTHER, way=behind(ONE))
    assert all_that_may(gates) == stranger


def test_names_wait_for_a_lookup_and_addresses_do_not() -> None:
    gates = make(lookups=2, per_jump_host=1)
    names, addresses = waiting(gates, 3, way=NAMED), waiting(gates, 3)
    assert all_that_may(gates) == [names[0], addresses[0], names[1], *addresses[1:]]
    gates.is_looked_up(names[0])
    assert all_that_may(gates) == [names[2]]
    far = waiting(gates, 2, way=behind(ONE))
    assert all_that_may(gates) == far[:1]
    gates.is_looked_up(far[0])  # the jump host's name; the way through it stays taken
    assert all_that_may(gates) == []


def test_who_is_slow_gives_its_rollout_s_place_away_and_asks_again() -> None:
    gates = make(per_rollout=1, per_jump_host=1)
    slow, quick = waiting(gates, 1, way=behind(ONE)) + waiting(gates, 1)
    assert all_that_may(gates) == [slow]
    gates.is_slow(slow)
    assert all_that_may(gates) == [quick]
    assert gates.answers(quick)
    assert not gates.answers(slow)
    stranger = waiting(gates, 1, rollout=OTHER, way=behind(ONE))
    assert all_that_may(gates) == stranger  # through the jump host that the slow one has left
    gates.leave(stranger[0])
    gates.leave(quick)
    assert all_that_may(gates) == [slow]
    assert gates.answers(slow)


def test_who_was_slow_comes_back_if_there_is_a_place() -> None:
    gates = make(per_rollout=1)
    slow, second = waiting(gates, 2)
    assert gates.following() == slow
    gates.is_slow(slow)
    assert gates.answers(slow)
    assert all_that_may(gates) == []
    gates.leave(slow)
    assert all_that_may(gates) == [second]


def test_where_all_are_slow_they_do_not_take_each_other_s_place() -> None:
    gates = make(per_rollout=2)
    first, second, third, fourth = waiting(gates, 4)
    assert all_that_may(gates) == [first, second]
    gates.is_slow(first)
    gates.is_slow(second)
    assert all_that_may(gates) == [third, fourth]
    assert [gates.answers(each) for each in (first, second, third)] == [True, True, False]
    gates.leave(first)
    assert gates.answers(fourth)  # it kept its place, and two are not too many
    gates.leave(second)
    assert all_that_may(gates) == [third]


def test_whatever_the_order_all_get_their_turn_and_never_too_many() -> None:
    chance = random.Random(11)
    gates = make(per_rollout=3, shared=4, per_jump_host=2, lookups=2)
    line, ways = ids(300), [DIRECT, NAMED, behind(ONE), behind(OTHER)]
    way_of = {each: chance.choice(ways) for each in line}
    rollout_of = {each: chance.choice([ONE, OTHER, None]) for each in line}
    everybody, inside, done = set(line), list[uuid.UUID](), set[uuid.UUID]()
    while done != everybody:
        if line and chance.random() < 0.5:
            container = line.pop()
            gates.wait(container, rollout=rollout_of[container], way=way_of[container])
        elif chance.random() < 0.7 and (following := gates.following()):
            inside.append(following)
        elif inside:
            leaving = inside.pop(chance.randrange(len(inside)))
            gates.leave(leaving)
            done.add(leaving)
        counts = Counter(rollout_of[each] for each in inside)
        assert all(count <= 3 for count in counts.values())
        assert len(inside) <= 4 + 2  # beyond those shared, the first ones of the two other rollouts
        ways_taken = Counter(way_of[each] for each in inside)
        assert all(ways_taken[way] <= 2 for way in ways[1:])
