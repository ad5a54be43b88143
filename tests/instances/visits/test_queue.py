"""Who may start next: so many behind one jump host and of one rollout, in turns; nobody waits for ever."""

import random
import uuid
from collections import Counter

from instances.visits.queue import FairQueue, Way

ONE, OTHER, THIRD = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
DIRECT, NAMED = Way(), Way(by_name=True)


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def behind(jump_host: uuid.UUID) -> Way:
    return Way(jump_host=jump_host)


def make(
    *, per_group: int = 100, shared: int = 100, per_jump_host: int = 100, lookups: int = 100
) -> FairQueue:
    return FairQueue(per_group=per_group, shared=shared, per_jump_host=per_jump_host, lookups=lookups)


def waiting(
    queue: FairQueue, count: int, *, group: uuid.UUID | None = ONE, way: Way = DIRECT
) -> list[uuid.UUID]:
    """Containers that have come to the queue."""
    made = ids(count)
    for each in made:
        queue.wait(each, group=group, way=way)
    return made


def all_that_may(queue: FairQueue) -> list[uuid.UUID]:
    return list(iter(queue.following, None))


def test_whom_nothing_limits_never_waits() -> None:
    queue = make(per_jump_host=1, lookups=1)
    made = waiting(queue, 100)
    assert all_that_may(queue) == made


def test_so_many_of_a_rollout_start_and_the_others_follow_in_their_order() -> None:
    queue = make(per_group=2)
    first, second, third, fourth = waiting(queue, 4)
    assert all_that_may(queue) == [first, second]
    stranger = waiting(queue, 1, group=OTHER)
    assert all_that_may(queue) == stranger
    queue.leave(second)
    assert all_that_may(queue) == [third]
    queue.leave(first)
    assert all_that_may(queue) == [fourth]
    queue.leave(third)
    assert all_that_may(queue) == []


def test_who_never_came_in_takes_nobody_out() -> None:
    queue = make(per_group=1)
    first, _second = waiting(queue, 2)
    assert all_that_may(queue) == [first]
    queue.leave(uuid.uuid4())
    assert all_that_may(queue) == []


def test_who_waits_is_told_from_who_is_inside() -> None:
    queue = make(per_group=1)
    first, second = waiting(queue, 2)
    assert (queue.following(), queue.waits(first), queue.waits(second)) == (first, False, True)


def test_rollouts_take_turns_however_long_one_has_waited() -> None:
    queue = make()
    large, late = waiting(queue, 4), waiting(queue, 2, group=OTHER)
    assert all_that_may(queue) == [large[0], late[0], large[1], late[1], large[2], large[3]]


def test_who_has_the_fewest_inside_is_next() -> None:
    queue = make(per_group=3, shared=4)
    first, second = waiting(queue, 9), waiting(queue, 9, group=OTHER)
    assert set(all_that_may(queue)) == {*first[:2], *second[:2]}
    queue.leave(first[0])
    queue.leave(first[1])
    queue.leave(second[0])
    assert all_that_may(queue) == [first[2], second[2], first[3]]


def test_beside_two_large_rollouts_the_first_of_another_finds_a_place() -> None:
    queue = make(per_group=7, shared=7)
    waiting(queue, 100)
    waiting(queue, 100, group=OTHER)
    assert len(all_that_may(queue)) == 7
    retry, second = waiting(queue, 2, group=THIRD)
    assert all_that_may(queue) == [retry]
    queue.leave(retry)
    assert all_that_may(queue) == [second]


def test_who_waits_for_a_jump_host_holds_no_place_of_its_rollout() -> None:
    queue = make(per_group=2, per_jump_host=1)
    far = waiting(queue, 2, way=behind(ONE))
    near = waiting(queue, 2)
    assert all_that_may(queue) == [far[0], near[0]]
    stranger = waiting(queue, 1, group=OTHER, way=behind(OTHER))
    assert all_that_may(queue) == stranger
    queue.leave(near[0])
    assert all_that_may(queue) == [near[1]]
    queue.leave(far[0])
    assert all_that_may(queue) == [far[1]]


def test_who_waits_for_its_rollout_holds_no_place_at_its_jump_host() -> None:
    queue = make(per_group=1, per_jump_host=1)
    near = waiting(queue, 1)
    waiting(queue, 1, way=behind(ONE))
    assert all_that_may(queue) == near
    stranger = waiting(queue, 1, group=OTHER, way=behind(ONE))
    assert all_that_may(queue) == stranger


def test_names_wait_for_a_lookup_and_addresses_do_not() -> None:
    queue = make(lookups=2, per_jump_host=1)
    names, addresses = waiting(queue, 3, way=NAMED), waiting(queue, 3)
    assert all_that_may(queue) == [names[0], addresses[0], names[1], *addresses[1:]]
    queue.is_looked_up(names[0])
    assert all_that_may(queue) == [names[2]]
    far = waiting(queue, 2, way=behind(ONE))
    assert all_that_may(queue) == far[:1]
    queue.is_looked_up(far[0])  # the jump host's name; the way through it stays taken
    assert all_that_may(queue) == []


def test_who_is_slow_gives_its_rollout_s_place_away_and_asks_again() -> None:
    queue = make(per_group=1, per_jump_host=1)
    slow, quick = waiting(queue, 1, way=behind(ONE)) + waiting(queue, 1)
    assert all_that_may(queue) == [slow]
    queue.is_slow(slow)
    assert all_that_may(queue) == [quick]
    assert queue.answers(quick)
    assert not queue.answers(slow)
    stranger = waiting(queue, 1, group=OTHER, way=behind(ONE))
    assert all_that_may(queue) == stranger  # through the jump host that the slow one has left
    queue.leave(stranger[0])
    queue.leave(quick)
    assert all_that_may(queue) == [slow]
    assert queue.answers(slow)


def test_who_was_slow_comes_back_if_there_is_a_place() -> None:
    queue = make(per_group=1)
    slow, second = waiting(queue, 2)
    assert queue.following() == slow
    queue.is_slow(slow)
    assert queue.answers(slow)
    assert all_that_may(queue) == []
    queue.leave(slow)
    assert all_that_may(queue) == [second]


def test_where_all_are_slow_they_do_not_take_each_other_s_place() -> None:
    queue = make(per_group=2)
    first, second, third, fourth = waiting(queue, 4)
    assert all_that_may(queue) == [first, second]
    queue.is_slow(first)
    queue.is_slow(second)
    assert all_that_may(queue) == [third, fourth]
    assert [queue.answers(each) for each in (first, second, third)] == [True, True, False]
    queue.leave(first)
    assert queue.answers(fourth)  # it kept its place, and two are not too many
    queue.leave(second)
    assert all_that_may(queue) == [third]


def test_whatever_the_order_all_get_their_turn_and_never_too_many() -> None:
    chance = random.Random(11)
    queue = make(per_group=3, shared=4, per_jump_host=2, lookups=2)
    line, ways = ids(300), [DIRECT, NAMED, behind(ONE), behind(OTHER)]
    way_of = {each: chance.choice(ways) for each in line}
    rollout_of = {each: chance.choice([ONE, OTHER, None]) for each in line}
    everybody, inside, done = set(line), list[uuid.UUID](), set[uuid.UUID]()
    while done != everybody:
        if line and chance.random() < 0.5:
            container = line.pop()
            queue.wait(container, group=rollout_of[container], way=way_of[container])
        elif chance.random() < 0.7 and (following := queue.following()):
            inside.append(following)
        elif inside:
            leaving = inside.pop(chance.randrange(len(inside)))
            queue.leave(leaving)
            done.add(leaving)
        counts = Counter(rollout_of[each] for each in inside)
        assert all(count <= 3 for count in counts.values())
        assert len(inside) <= 4 + 2  # beyond those shared, the first ones of the two other rollouts
        ways_taken = Counter(way_of[each] for each in inside)
        assert all(ways_taken[way] <= 2 for way in ways[1:])
