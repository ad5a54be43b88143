"""Rotations one after the other in one world: containers, two workers, Adobe, and a robot for the people."""

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.core.management import call_command
from django.db import DatabaseError, close_old_connections, connections

from credentials import services as accounts
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import retry_pushes
from credentials.rollouts.starting import RolloutError, repair, start_rollout
from credentials.rotation import reading, services, waits
from credentials.rotation.gates import Missing
from credentials.rotation.models import Rotation
from credentials.rotation.services import RotationError
from credentials.rotation.waits import Wait
from credentials.services import AccountError
from instances.discovery.services import ask
from instances.models import Container, HostKey, Installation, Instance
from instances.reaching import portal_key
from portal.audit.chain.verification import verify
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox import nlserver
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.console_api import Deed, Fault
from portal.sandbox.ims import Mode
from tests.chaos.site import Site
from tests.chaos.workers import Worker
from tests.figures import say
from tests.rotations.plan import Plan, Strike, plan_of
from tests.rotations.services import RotationServices
from tests.services.accounts import NEOLANE
from tests.services.waiting import wait_until

SITES, RESERVE = 6, 2
"""Containers with an installation of the account, and further ones that come and go."""
WORKERS = 2
LOOK = 0.25
ROBOT_PAUSE = 1.0
MOST = 120.0
"""Seconds that one rotation may take until somebody gives up on it."""
LONGEST_GAP = 60.0
ADMIN = Actor("rotation admin")
NO_CODE = "none"


@dataclass
class Figures:
    """What all rotations came to."""

    ends: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    deletions: int = 0
    dead: list[str] = field(default_factory=list)
    """Containers whose file decrypted to a secret at the moment of its deletion."""
    planted: int = 0
    """Likewise, where the file was restored after the portal had seen it last."""
    in_leak_mode: int = 0
    later_writes: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    stuck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    is_chain_whole: bool = False
    rotations: int = 0

    @property
    def is_clean(self) -> bool:
        bad = (self.dead, self.later_writes, self.orphans, self.gaps, self.stuck, self.wrong)
        return self.is_chain_whole and not any(bad)

    def lines(self) -> list[str]:
        """Return the figures as they are printed."""
        ends = ", ".join(f"{count} {name}" for name, count in sorted(self.ends.items()))
        codes = ", ".join(f"{count} {name}" for name, count in sorted(self.codes.items())) or NO_CODE
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return [
            f"Rotations: {self.rotations} ({ends}; waiting with {codes})",
            f"Faults: {self.faults.total()} ({faults})",
            f"Secrets deleted at Adobe: {self.deletions}",
            f"Containers whose file decrypted to one at that moment: {len(self.dead)}",
            f"Apart: {self.planted} restored after they were seen last, {self.in_leak_mode} in leak mode",
            f"Later writes of a deleted secret: {len(self.later_writes)}",
            f"Orphan secrets unseen: {len(self.orphans)}",
            f"Longest time without an attempt: {self.longest_gap:.1f} s; too long: {len(self.gaps)}",
            f"Neither ended nor waiting: {len(self.stuck)}",
            f"Wrong at the end: {len(self.wrong)}",
            f"The history verifies: {self.is_chain_whole}",
            *self.dead,
            *self.later_writes,
            *self.orphans,
            *self.gaps,
            *self.stuck,
            *self.wrong,
            "PASSED" if self.is_clean else "FAILED",
        ]


@dataclass
class World:
    """All that the rotations happen in."""

    services: RotationServices
    sites: list[Site]
    workers: list[Worker]
    adobe: ConsoleAccount
    account: TechnicalAccount
    figures: Figures
    planted: dict[str, float] = field(default_factory=dict)
    """Site -> when its file was restored, in seconds since 1970."""
    is_leak: bool = False
    deleted: dict[str, dict[str, int]] = field(default_factory=dict)
    """Site -> the name of a deleted secret in its log -> how often it was written by then."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def own(self) -> list[Site]:
        used = set(
            Installation.objects.filter(instance__assignment__account=self.account).values_list(
                "container__name", flat=True
            )
        )
        return [site for site in self.sites if site.name in used]

    def judge_deletion(self, deed: Deed) -> None:
        """Look what every container holds at the moment in which Adobe deletes a secret."""
        if deed.what != "deleted":
            return
        with self.lock:
            self.figures.deletions += 1
            text = deed.plaintext.reveal()
            for site in self.sites:
                name = _name_in_log(site, deed.plaintext)
                self.deleted.setdefault(site.name, {})[name] = self._writes(site, name)
                held = site.held(site.instances[0])
                if held is not None and held.reveal() == text:
                    self._blame(site, deed)

    def _writes(self, site: Site, name: str) -> int:
        site.read_log()
        return sum(write.secret == name for write in site.writes())

    def _blame(self, site: Site, deed: Deed) -> None:
        planted = self.planted.get(site.name)
        if planted is not None and self._seen(site) < planted:
            self.figures.planted += 1
        elif self.is_leak:
            self.figures.in_leak_mode += 1
        else:
            self.figures.dead.append(f"{site.name} held the secret {deed.secret} when it was deleted")

    def _seen(self, site: Site) -> float:
        """Return when the portal saw the file last, in seconds since 1970."""
        with self.services.connect() as connection:
            row = connection.execute(
                "SELECT extract(epoch FROM max(observed)) FROM instances_installation i"
                " JOIN instances_container c ON c.id = i.container_id WHERE c.name = %s",
                [site.name],
            ).fetchone()
        return float(str(row[0])) if row and row[0] is not None else 0.0

    def judge_writes(self) -> None:
        """Look whether a deleted secret was written once more anywhere."""
        with self.lock:
            for site in self.sites:
                for name, before in self.deleted.get(site.name, {}).items():
                    if self._writes(site, name) > before:
                        self.figures.later_writes.append(f"{site.name} was written a deleted secret")

    def supervise(self) -> None:
        for worker in self.workers:
            worker.supervise()


def _name_in_log(site: Site, secret: Secret) -> str:
    key = bytes.fromhex((site.folder / nlserver.KEY).read_text())
    return nlserver.fingerprint(key, secret.reveal().encode())


@contextmanager
def make_world(services: RotationServices) -> Iterator[World]:
    """Build it on services that run, with the first secret everywhere, and take it down again."""
    with ExitStack() as closing:
        closing.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        call_command("sync_roles", verbosity=0)
        login = NEOLANE if os.geteuid() == 0 else os.environ.get("USER", "")
        sites = []
        for number in range(SITES + RESERVE):
            site = Site(
                number,
                services.loop,
                login=login,
                key=portal_key.public_line(),
                instances=(f"rot{number:02}",),
                small_disk=False,
            )
            closing.callback(site.close)
            subprocess.run(["chown", "-R", f"{login}:", site.folder], check=True)  # our own
            site.start()
            sites.append(site)
        adobe = ConsoleAccount()
        services.console.register(adobe)
        account = _stock(sites, adobe)
        workers = [Worker(number, services.home, services) for number in range(1, WORKERS + 1)]
        for worker in workers:
            closing.callback(worker.close)
            worker.start()
        world = World(services, sites, workers, adobe, account, Figures())
        wait_until(lambda: all(each.is_ready for each in workers), within=120, what="workers to be ready")
        wait_until(
            lambda: _is_everywhere(world),
            within=120,
            what="the first secret to be everywhere",
            hint=lambda: str(list(Push.objects.values_list("container__name", "state", "code"))),
        )
        services.console.watchers.append(world.judge_deletion)
        yield world


ROLES, ENVIRONMENTS = ("MKT", "MID", "RT", "EXEC"), ("development", "stage", "production")


def _stock(sites: Sequence[Site], adobe: ConsoleAccount) -> TechnicalAccount:
    account = TechnicalAccount.objects.create(
        name="Rotations",
        organization_id=adobe.organization_id,
        client_id=adobe.client_id,
        technical_account_id=adobe.technical_account_id,
        numeric_organization_id=adobe.numeric_organization_id,
        credential_id=adobe.credential_id,
    )
    version, _is_new = accounts.add_secret(account=account, plaintext=adobe.secrets[0], actor=ADMIN)
    accounts.activate(account=account, actor=ADMIN)
    for number, site in enumerate(sites):
        row = Container.objects.create(
            name=site.name,
            address=site.proxy.host,
            port=site.proxy.port,
            login=site.login,
            install_root=str(site.container.install_root),
        )
        key = site.sshd.host_keys[0]
        HostKey.objects.create(
            container=row, type=key.type, base64=key.base64, fingerprint=key.fingerprint, state="approved"
        )
        instance = Instance.objects.create(
            name=site.instances[0],
            environment=ENVIRONMENTS[number % len(ENVIRONMENTS)],
            role=ROLES[number % len(ROLES)],
        )
        Installation.objects.create(instance=instance, container=row)
    own = Instance.objects.filter(name__in=[site.instances[0] for site in sites[:SITES]])
    accounts.assign(account=account, instances=own, actor=ADMIN)
    start_rollout(
        version=version,
        installations=Installation.objects.filter(instance__in=own),
        reason=Rollout.Reason.NEW,
        actor=ADMIN,
    )
    return account


def _is_everywhere(world: World) -> bool:
    world.supervise()
    return not Push.objects.exclude(state="succeeded").exists()


def run(running: RotationServices, seeds: Sequence[int], *, ends: float) -> Figures:
    """Do the rotations of these seeds; none begins after `ends`."""
    with make_world(running) as world:
        for seed in seeds:
            if time.monotonic() > ends:
                say(f"No time is left for the seeds from {seed} on.")
                break
            began = time.monotonic()
            told = OneRotation(world, plan_of(seed)).run()
            world.figures.rotations += 1
            say(f"{seed}: {told} ({time.monotonic() - began:.0f} s)")
            close_old_connections()
        world.judge_writes()
        world.figures.is_chain_whole = not verify().findings
        return world.figures


class OneRotation:
    """One rotation with its faults, its robot, and the judgement of its end."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan, self.figures = world, plan, world.figures
        self.waiting = list(plan.strikes)
        self.reached: dict[str, float] = {}
        self.over: list[tuple[float, str, Site | None]] = []
        self.next_robot = 0.0
        self.is_taken_back = False
        self.dead: Site | None = None
        self.left_waiting = ""
        self.refusal = ""

    def run(self) -> str:
        """Run it to its end, and return what it came to."""
        world = self.world
        world.planted.clear()
        world.is_leak = self.plan.is_leak
        for site in world.sites:
            site.remember_files()
        rotation = self._start()
        if self.plan.is_left_waiting:
            self.dead = world.own()[0]
            self.dead.kill()
            self.figures.faults["container dead for good"] += 1
        end = time.monotonic() + MOST
        row = rotation
        while time.monotonic() < end:
            with self._refusals():
                row = Rotation.objects.select_related("account", "old", "new").get(pk=rotation.pk)
                if row.ended:
                    break
                self._look(row)
            time.sleep(LOOK)
        return self._judge(row)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Go on where the portal refuses what the robot asks for, as people do; keep the last refusal."""
        try:
            yield
        except (DatabaseError, RotationError, AccountError, RolloutError) as error:
            self.refusal = f"{type(error).__name__}: {error}"

    def _start(self) -> Rotation:
        account = TechnicalAccount.objects.get(pk=self.world.account.pk)
        rotation = services.start(
            account=account,
            actor=ADMIN,
            wave_rule=self.plan.wave_rule,
            stop_rule=self.plan.stop_rule,
            is_leak=self.plan.is_leak,
        )
        for strike in [each for each in self.waiting if each.state == "preparing" and each.fault[0] in "PGD"]:
            self._strike(strike, rotation)
        return rotation

    def _look(self, row: Rotation) -> None:
        now = time.monotonic()
        self.reached.setdefault(row.state, now)
        self.world.supervise()
        for when, what, site in [each for each in self.over if each[0] <= now]:
            self.over.remove((when, what, site))
            self._mend(what, site)
        for strike in list(self.waiting):
            at = self.reached.get(strike.state)
            if at is not None and now >= at + strike.delay:
                self._strike(strike, row)
        self._measure(row)
        is_time = self.plan.is_taken_back in self.reached and not self.is_taken_back
        if is_time and services.can_take_back(row):
            services.take_back(rotation=row, actor=ADMIN, message="by its plan")
            self.is_taken_back = True
        if now >= self.next_robot:
            self.next_robot = now + ROBOT_PAUSE
            self._robot(row)

    def _measure(self, row: Rotation) -> None:
        """A rotation that waits for nobody has to be looked at within a minute."""
        last = row.tried or row.requested
        gap = (datetime.now(UTC) - last).total_seconds()
        self.figures.longest_gap = max(self.figures.longest_gap, gap)
        if gap > LONGEST_GAP:
            self.figures.gaps.append(f"seed {self.plan.seed}: {gap:.0f} s without an attempt ({row.state})")

    # Faults

    def _strike(self, strike: Strike, row: Rotation) -> None:
        self.waiting.remove(strike)
        self.figures.faults[strike.fault] += 1
        now = time.monotonic()
        random = self.plan.seed * 7 + len(self.waiting)
        word, _blank, what = strike.fault.partition(" ")
        if word in ("POST", "GET", "DELETE"):
            names = {"answer_lost": Fault.LOST, "fails": Fault.FAILS, "garbage": Fault.GARBAGE}
            names |= {
                "fails_afterwards": Fault.FAILS_AFTERWARDS,
                "throttled": Fault.THROTTLED,
                "slow": Fault.SLOW,
            }
            self.world.services.console.faults_of[word].append(names[what])
        elif strike.fault == "IMS throttled":
            self.world.services.ims.mode = Mode.THROTTLED
            self.over.append((now + strike.seconds, strike.fault, None))
        elif strike.fault == "worker killed":
            self.world.workers[random % WORKERS].kill()
        elif strike.fault == "paused":
            if services.can_pause(row):
                services.pause(rotation=row, actor=ADMIN)
        else:
            self._strike_site(strike, random, now)

    def _strike_site(self, strike: Strike, random: int, now: float) -> None:
        own = self.world.own()
        site = own[random % len(own)]
        if strike.fault == "container dead":
            site.kill()
            self.over.append((now + strike.seconds, strike.fault, site))
        elif strike.fault == "nlserver fails":
            site.container.set_faults("error_exit_0")
            self.over.append((now + strike.seconds, strike.fault, site))
        elif strike.fault == "file restored":
            for name, content in site._remembered.items():
                site.container.config(name).write_bytes(content)
            self.world.planted[site.name] = time.time()
        elif strike.fault == "container added":
            others = [each for each in self.world.sites if each not in own]
            if others:
                self._assign(others[0])
        elif strike.fault == "container removed" and len(own) > SITES - 1:
            instance = Instance.objects.get(name=site.instances[0])
            accounts.unassign(instances=[instance], actor=ADMIN, message="by its plan")

    def _assign(self, site: Site) -> None:
        instance = Instance.objects.get(name=site.instances[0])
        accounts.assign(account=self.world.account, instances=[instance], actor=ADMIN)

    def _mend(self, what: str, site: Site | None) -> None:
        if what == "IMS throttled":
            self.world.services.ims.mode = Mode.NORMAL
        elif site is not None and site is not self.dead:
            site.container.set_faults()
            site.heal()

    # People

    def _robot(self, row: Rotation) -> None:
        """Do what an admin and the helpdesk do at what the rotation waits for."""
        self._campaign_signs_in()
        if self.dead and row.tried and row.needs_person:
            self.left_waiting = row.wait
            self.figures.codes[row.wait] += 1
            self.dead.heal()
            self.dead = None
        self._mend_pushes(row)
        wait = Wait(row.wait)
        if wait in (Wait.PAUSED, Wait.STOPPED):
            services.go_on(rotation=row, actor=ADMIN)
        elif wait in (Wait.ORPHAN, Wait.UNKNOWN_SECRET):
            services.make_room(rotation=row, actor=ADMIN, message="nobody has it")
        elif wait == Wait.SPARE_VERSION:
            if self.plan.seed % 2:
                services.use_spare(rotation=row, actor=ADMIN)
            else:
                services.make_room(rotation=row, actor=ADMIN, message="a new one is wanted")
        elif wait == Wait.SPARE_NEEDED:
            services.use_spare(rotation=row, actor=ADMIN)

    def _campaign_signs_in(self) -> None:
        """Let every server of Campaign that runs get a token with what its file holds."""
        for site in self.world.own():
            held = site.held(site.instances[0])
            if held and site is not self.dead:
                form = {"client_id": self.world.adobe.client_id, "client_secret": held.reveal()}
                form |= {"grant_type": "client_credentials", "scope": "openid,AdobeID"}
                self.world.services.ims.answer(form)

    def _mend_pushes(self, row: Rotation) -> None:
        """Retry what failed, assign what was taken away and still holds the old secret, repair what "
        "differs."""
        failed = list(Push.objects.needing_attention().filter(state="failed").values_list("pk", flat=True))
        if failed:
            retry_pushes(push_ids=failed, actor=ADMIN)
        if row.wait == Wait.CANARY_CHANGED and row.canary:
            repair(installations=[row.canary], actor=ADMIN, message="by the robot")
        if row.wait not in (Wait.NOT_VERIFIED, Wait.NOT_BACK, Wait.SPARE_NEEDED):
            return
        for way in reading.in_the_way(row).first():
            installation = Installation.objects.select_related("instance", "container").get(
                pk=way.installation
            )
            if way.missing in (Missing.HOLDS, Missing.DESIRES, Missing.NOT_PROVEN, Missing.NOT_NEW):
                if not hasattr(installation.instance, "assignment"):
                    accounts.assign(
                        account=self.world.account, instances=[installation.instance], actor=ADMIN
                    )
                repair(installations=[installation], actor=ADMIN, message="by the robot")
            elif way.missing in (Missing.NOT_READ, Missing.NEVER_SEEN):
                ask(containers=[installation.container], actor=ADMIN)

    # The end

    def _judge(self, row: Rotation) -> str:
        for _when, what, site in self.over:
            self._mend(what, site)
        if self.dead:
            self.dead.heal()
        self.world.services.ims.mode = Mode.NORMAL
        for faults in self.world.services.console.faults_of.values():
            faults.clear()
        told = row.state
        if row.ended is None:
            told = f"{row.state}, {row.wait}"
            code = row.wait if row.needs_person else ""
            if not code or code not in waits.EXPLANATIONS:
                self.figures.stuck.append(f"seed {self.plan.seed}: {told} {row.params}")
            self._finish(row)
        self.figures.ends[row.state if row.ended else "waiting"] += 1
        if self.left_waiting:
            told += f" (waited: {self.left_waiting})"
        self._judge_adobe()
        self._judge_files()
        return told

    def _finish(self, row: Rotation) -> None:
        """Let the next rotation begin from a whole world, whatever this one has left."""
        end = time.monotonic() + MOST
        while time.monotonic() < end:
            with self._refusals():
                found = Rotation.objects.select_related("account", "old", "new").get(pk=row.pk)
                if found.ended:
                    return
                self.world.supervise()
                self._robot(found)
            time.sleep(ROBOT_PAUSE)
        ways = [f"{each} {each.missing}" for each in reading.in_the_way(row).first()]
        pushes = list(Push.objects.open().values_list("container__name", "state", "code"))
        told = f"{row.state}, {row.wait}, {row.params}, {ways}, {pushes}, {self.refusal}"
        raise AssertionError(f"the rotation of seed {self.plan.seed} does not end: {told}")

    def _judge_adobe(self) -> None:
        """Every secret at Adobe is one that the portal knows."""
        at_adobe = {each.id for each in self.world.services.console.secrets(self.world.adobe)}
        known = set(ClientSecret.objects.exclude(slot=None).values_list("adobe_id", flat=True))
        for orphan in at_adobe - known:
            self.figures.orphans.append(
                f"seed {self.plan.seed}: {orphan} is at Adobe, and nobody knows of it"
            )

    def _judge_files(self) -> None:
        """What the account's containers hold exists at Adobe; what was restored after the end is put "
        "right."""
        living = {each.plaintext.reveal() for each in self.world.services.console.secrets(self.world.adobe)}
        for site in self.world.own():
            held = site.held(site.instances[0])
            if held is None or held.reveal() in living:
                continue
            if site.name in self.world.planted:
                row = Installation.objects.filter(container__name=site.name)
                repair(installations=row, actor=ADMIN, message="restored after the end")
                wait_until(lambda: not Push.objects.open().exists(), within=60, what="the repair")
            else:
                self.figures.wrong.append(f"seed {self.plan.seed}: {site.name} holds a dead secret")
