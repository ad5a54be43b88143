"""What can happen to pushes, as rules of a state machine; the promises are checked after every one."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from django.db import OperationalError
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from credentials import services
from credentials.models import ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts import reconciler
from credentials.rollouts.models import ProvenDigest, Push, Rollout
from credentials.rollouts.services import cancel_rollout, retry_pushes
from credentials.rollouts.starting import start_rollout
from credentials.rollouts.versions import make_goal
from instances.inventory import retiring
from instances.models import Container, Installation, Instance
from instances.visits import visit
from tests.credentials.rollouts.model import seams
from tests.credentials.rollouts.model.container import Network, Nlserver, Process
from tests.credentials.rollouts.model.promises import Promises
from tests.credentials.rollouts.model.workers import Fault, Point, Until, Worker
from tests.credentials.rollouts.model.world import ACCOUNTS, LAYOUT, PERSON, World, approve

ROUNDS = 12
"""How often the bells may have to ring, ten hours apart, until all has ended: tries, looks, and room."""

sites = st.sampled_from(list(LAYOUT))
accounts = st.sampled_from(ACCOUNTS)
instances = st.sampled_from(["mail", "shop"])
installations = st.lists(st.integers(0, 3), min_size=1, unique=True)
changes = st.one_of(
    st.sampled_from(list(Network)),
    st.sampled_from(list(Nlserver)),
    st.sampled_from(["on", "off", "another key", "approve key", "broker", "hang"]),
)
stops = st.one_of(
    st.just(Until()),
    st.sampled_from([point for point in Point if point not in (Point.DATABASE, Point.SLEEP)]).map(Until),
    st.builds(Until, st.just(Point.DATABASE), st.integers(1, 14)),
)
faults = st.sampled_from(list(Fault))
which = st.integers(0, 7)
seconds = st.sampled_from([400, 800, 1300, 12000])
"""No sum of them comes within a minute of a delay with its jitter, 120 to 180 or 480 to 720, from below: on
the slowest machine the real seconds of an example must not matter."""


class Pushes(RuleBasedStateMachine):
    """Pushes to four installations on two containers, delivered by workers that move step by step."""

    workers: ClassVar[list[Worker]] = []

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.workers)
        self.promises = Promises(self.world)
        self.seams = ExitStack()
        self.seams.enter_context(seams.installed(self.world))
        self.ends_by_kill = False

    @initialize(
        deterministic=st.booleans(),
        shared_key=st.booleans(),
        punctual=st.booleans(),
        ends_by_kill=st.booleans(),
    )
    def begin(self, *, deterministic: bool, shared_key: bool, punctual: bool, ends_by_kill: bool) -> None:
        self.ends_by_kill = ends_by_kill
        self.world.make(deterministic=deterministic, shared_key=shared_key, punctual=punctual)
        self._start([0, 1, 2, 3], rotate=False)

    # --- what people do --------------------------------------------------------------------------------

    @rule(chosen=installations)
    def start(self, chosen: list[int]) -> None:
        self._start(chosen, rotate=False)

    @rule(chosen=installations, behaviour=st.none() | st.sampled_from(list(Nlserver)))
    def rotate(self, chosen: list[int], behaviour: Nlserver | None) -> None:
        """Enter a newer version, and roll it out over whatever is under way; nlserver may behave anew."""
        if behaviour:
            for site in self.world.sites.values():
                site.nlserver = behaviour
        self._start(chosen, rotate=True)

    def _start(self, chosen: list[int], *, rotate: bool) -> None:
        """With the account of the first one, to those of the chosen installations that may have it."""
        every = list(Installation.objects.order_by("container__name", "instance__name"))
        account = TechnicalAccount.objects.filter(assignments__instance=every[chosen[0]].instance_id).first()
        if account is None:
            return
        if rotate:
            self.world.new_secret(account)
        self._start_version(account, account.newest_version, [every[number].pk for number in chosen])

    def _start_version(
        self, account: TechnicalAccount, version: ClientSecret | None, chosen: list[uuid.UUID]
    ) -> None:
        allowed = Installation.objects.not_retired().filter(
            instance__assignment__account=account, container__is_enabled=True
        )
        picked = allowed.filter(pk__in=chosen)
        if picked and version:
            start_rollout(version=version, installations=picked, reason="new", actor=PERSON)

    @rule(account=accounts, chosen=installations)
    def roll_back(self, account: str, chosen: list[int]) -> None:
        """Roll out the oldest version that can still be used."""
        row = TechnicalAccount.objects.get(name=account)
        every = list(Installation.objects.order_by("container__name", "instance__name"))
        if row.state == "active":
            oldest = row.secrets.filter(state="usable").order_by("version").first()
            self._start_version(row, oldest, [every[number].pk for number in chosen])

    @rule(account=accounts, number=st.integers(0, 1))
    def choose_goal(self, account: str, number: int) -> None:
        row = TechnicalAccount.objects.get(name=account)
        usable = list(row.secrets.filter(state="usable").order_by("version"))
        if row.state == "active" and usable:
            make_goal(version=usable[number % len(usable)], actor=PERSON)

    @rule(instance=instances)
    def unassign(self, instance: str) -> None:
        services.unassign(instances=[Instance.objects.get(name=instance)], actor=PERSON, message="moved")

    @rule(everything=st.booleans(), number=which)
    def retry(self, *, everything: bool, number: int) -> None:
        pushes = list(Push.objects.filter(state__in=["failed", "unknown"]).order_by("rollout__number", "pk"))
        picked = pushes if everything else pushes[number : number + 1]
        desired = set(DesiredVersion.objects.values_list("push", flat=True))
        for push in retry_pushes(push_ids=[each.pk for each in picked], actor=PERSON).pushes:
            assert push.pk in desired, "a push was retried that its installation no longer desires"
            self.promises.retried[push.pk] += 1
            self.promises.cancelled.pop(push.pk, None)

    @rule(number=which)
    def cancel(self, number: int) -> None:
        rollout = Rollout.objects.order_by("-number")[number : number + 1].first()
        if rollout:
            cancel_rollout(rollout=rollout, actor=PERSON)
            for push in rollout.pushes.filter(state__in=["running", "unknown", "cancelled"]):
                self.promises.cancelled[push.pk] = push.attempts.filter(kind="push").count()

    @rule(site=sites, instance=st.none() | instances)
    def retire(self, site: str, instance: str | None) -> None:
        """Retire a container, or an instance on it; where it is so already, take it back."""
        container = Container.objects.get(name=site)
        row: retiring.Row = container
        if instance:
            row = Installation.objects.get(container=container, instance__name=instance)
        if row.retired:
            retiring.take_back(row=row, reason="used after all", actor=PERSON)
            return
        open_ones = list(Push.objects.open().filter(installation__in=retiring.installations_of(row)))
        try:
            retiring.retire(row=row, reason="gone", actor=PERSON)
        except retiring.RetiringError:
            assert any(push.state == "running" for push in open_ones), "nothing ran, and it was refused"
        else:
            self.promises.let_go(open_ones)

    @rule(
        change=st.sampled_from(["enter secret", "assign", "assign", "retire"]),
        instance=instances,
        account=accounts,
    )
    def change_accounts(self, change: str, instance: str, account: str) -> None:
        row = TechnicalAccount.objects.get(name=account)
        if row.state != "active":
            return
        if change == "enter secret":
            self.world.new_secret(row)
        elif change == "assign":
            services.assign(account=row, instances=[Instance.objects.get(name=instance)], actor=PERSON)
        else:
            self._retire()

    def _retire(self) -> None:
        """Move everything to the second account, and take the first one out of use."""
        first, second = (TechnicalAccount.objects.get(name=name) for name in ACCOUNTS)
        if first.state == "active":
            services.assign(account=second, instances=Instance.objects.all(), actor=PERSON)
            services.retire(account=first, actor=PERSON)

    @rule(site=sites, instance=instances)
    def edit_by_hand(self, site: str, instance: str) -> None:
        """A person sets another account, perhaps in the middle of a push."""
        here = self.world.sites[site]
        here.is_honest = False
        here.write(instance, ("other", "other", "other", f"other-{here.events}"), None)

    @rule(site=sites, instance=instances, number=which)
    def restore(self, site: str, instance: str, number: int) -> None:
        """A person, or a backup, puts an earlier file back, perhaps in the middle of a push.

        One whose secret was proven: that a secret which nobody knows comes in the very moment in which ours
        was not set is what no file can show.
        """
        here = self.world.sites[site]
        proven = set(ProvenDigest.objects.values_list("digest", flat=True))
        known = [write for write in here.writes if write.instance == instance and write.digest in proven]
        if known:
            here.is_honest = False
            here.restore(known[number % len(known)])

    # --- bells and workers -----------------------------------------------------------------------------

    @precondition(lambda self: self.world.bells and self.world.idle())
    @rule(number=which, until=stops)
    def answer_bell(self, number: int, until: Until) -> None:
        self._answer(self.world.bells.pop(number % len(self.world.bells)), until)

    @precondition(lambda self: self.world.bells and self.world.idle())
    @rule()
    def answer_every_bell(self) -> None:
        for _ in range(len(self.world.bells)):
            self._answer(self.world.bells.pop(0), Until())

    @precondition(lambda self: self.world.idle())
    @rule(site=sites, until=stops)
    def answer_stray_bell(self, site: str, until: Until) -> None:
        """A bell that comes twice, or late."""
        self._answer(str(Container.objects.get(name=site).pk), until)

    def _answer(self, container_id: str, until: Until) -> None:
        worker = self.world.idle()
        assert worker
        self.world.answer(worker, container_id, until)
        note(f"{worker.name}: {worker.at}")

    @precondition(lambda self: self.world.busy() and self.world.idle())
    @rule(number=which, until=stops)
    def take_over(self, number: int, until: Until) -> None:
        """A worker is stopped for longer than its lease, and another one comes to its container."""
        container_id = self._busy(number).container_id
        self.world.pass_time(1300)
        self.promises.check()
        self._answer(container_id, until)

    @precondition(lambda self: self.world.bells)
    @rule(number=which)
    def lose_bell(self, number: int) -> None:
        self.world.bells.pop(number % len(self.world.bells))

    @rule()
    def reconcile(self) -> None:
        reconciler.reconcile()

    @precondition(lambda self: self.world.busy())
    @rule(number=which, until=stops)
    def go_on(self, number: int, until: Until) -> None:
        self._go_on(self._busy(number), until, Fault.NONE)

    @precondition(lambda self: self.world.busy())
    @rule(number=which, until=stops, fault=faults)
    def go_on_with_fault(self, number: int, until: Until, fault: Fault) -> None:
        self._go_on(self._busy(number), until, fault)

    @precondition(lambda self: self.world.busy())
    @rule(number=which)
    def renew(self, number: int) -> None:
        """A worker notices that time passes, while it waits for a container."""
        self._busy(number).tick()

    @precondition(lambda self: self.world.busy())
    @rule(number=which)
    def kill(self, number: int) -> None:
        self._busy(number).kill()

    @precondition(lambda self: self.world.busy())
    @rule(number=which)
    def hand_over(self, number: int) -> None:
        """SIGTERM: what runs is finished, nothing is begun."""
        visit.stopping.set()
        self._busy(number).go_on(Until())
        visit.stopping.clear()

    def _busy(self, number: int) -> Worker:
        busy = self.world.busy()
        return busy[number % len(busy)]

    def _go_on(self, worker: Worker, until: Until, fault: Fault) -> None:
        try:
            worker.go_on(until, fault)
        except AssertionError as error:
            if not isinstance(error.__cause__, OperationalError):
                raise
        note(f"{worker.name}: {worker.at}")

    # --- time, containers, networks --------------------------------------------------------------------

    @rule(by=seconds)
    def pass_time(self, by: int) -> None:
        self.world.pass_time(by)

    @rule(by=st.sampled_from([-36000, 1300]))
    def let_leases_run_out(self, by: int) -> None:
        """More than a lease, or a clock that is set back."""
        self.world.pass_time(by)

    @precondition(lambda self: self.world.pending)
    @rule(number=which)
    def process_goes_on(self, number: int) -> None:
        self._process(number).go_on()

    @precondition(lambda self: self.world.pending)
    @rule(number=which, nlserver_survives=st.booleans())
    def process_dies(self, number: int, *, nlserver_survives: bool) -> None:
        self._process(number).die(nlserver_survives=nlserver_survives)

    def _process(self, number: int) -> Process:
        pending = self.world.pending
        return pending[number % len(pending)]

    @rule(site=sites, change=changes)
    def change_site(self, site: str, change: object) -> None:
        """Something about a container, or the broker, breaks or is mended."""
        here, row = self.world.sites[site], Container.objects.filter(name=site)
        if isinstance(change, Network):
            here.network = change
        elif isinstance(change, Nlserver):
            here.nlserver = change
        elif change in ("on", "off"):
            row.update(is_enabled=change == "on")
        elif change == "another key":
            here.key += 1
        elif change == "approve key":
            approve(row.get(), here)
        elif change == "broker":
            self.world.broker_is_away = not self.world.broker_is_away
        else:
            here.is_hung = not here.is_hung

    # --- checks ----------------------------------------------------------------------------------------

    @invariant()
    def promises_are_kept(self) -> None:
        with self._told():
            self.promises.check()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say beside a failure what the world looked like."""
        try:
            yield
        except AssertionError:
            note(self.promises.story())
            raise

    def teardown(self) -> None:
        """Mend everything, let time pass, and see that every push ends."""
        try:
            if self.world.sites:
                with self._told():
                    self._drain()
        finally:
            for worker in self.world.busy():
                worker.kill()
            self.seams.close()

    def _drain(self) -> None:
        """Whoever was stopped is killed, or goes on when others have long taken over; no bell is left."""
        self._mend()
        if not self.ends_by_kill and self.world.idle():
            self._round()
        for worker in self.world.busy():
            if self.ends_by_kill:
                worker.kill()
            else:
                self._go_on(worker, Until(), Fault.NONE)
            self.promises.check()
        self.world.bells.clear()
        for _ in range(ROUNDS):
            if not Push.objects.open().exists() and not self.world.pending:
                break
            self._round()
        self.promises.check_the_end()

    def _mend(self) -> None:
        self.world.broker_is_away = False
        self.world.pass_time(self.world.set_back)
        Container.objects.update(is_enabled=True, retired=None)
        Installation.objects.update(retired=None)
        for site in self.world.sites.values():
            site.network, site.is_hung = Network.WORKS, False
            approve(Container.objects.get(name=site.name), site)

    def _round(self) -> None:
        self.world.pass_time(36000)
        reconciler.reconcile()
        self.answer_every_bell()
        self.promises.check()
        for process in self.world.pending:
            process.run()
        self.promises.check()
