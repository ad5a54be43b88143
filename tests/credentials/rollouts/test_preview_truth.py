"""What a preview said is what a real rollout then does, on containers with every trouble it foretells."""

from collections.abc import Callable
from random import Random

import pytest

from credentials import services
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.outlook import NO_HOST_KEY
from credentials.rollouts.preview import Fate, Preview, preview
from credentials.rollouts.starting import start_rollout
from instances.discovery.services import ask
from instances.failures import Code
from instances.models import TARGET, Container, HostKey, Installation
from portal.audit.trail import Actor
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import MakeSite, Site, deliver_all
from tests.services.waiting import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both

Mend = Callable[[], object]


def no_trouble(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    return make_site(name), lambda: None


def no_key(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    site = make_site(name, trusted=False)
    kind, key = site.server.known_host.split()

    def approve() -> None:
        HostKey.objects.update_or_create(
            container=site.row,
            fingerprint=site.server.fingerprint,
            defaults={"type": kind, "base64": key, "state": "approved"},
        )

    return site, approve


def login_refused(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    faults = SSHFaults(refuse_login=True)
    return make_site(name, ssh_faults=faults), lambda: setattr(faults, "refuse_login", False)


def other_key(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    faults = SSHFaults(other_host_key=True)
    site = make_site(name, ssh_faults=faults)

    def mend() -> None:
        faults.other_host_key = False
        site.row.host_keys.exclude(state="approved").update(state="revoked")

    return site, mend


def nobody_listens(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    site = make_site(name)
    rows = Container.objects.filter(pk=site.row.pk)
    rows.update(port=free_port())
    return site, lambda: rows.update(port=site.server.port)


def old_build(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    return make_site(name, build=9382), lambda: None


def file_gone(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    site = make_site(name)
    file = site.container.config("prod1")
    text = file.read_bytes()
    file.unlink()
    return site, lambda: file.write_bytes(text)


def switched_off(make_site: MakeSite, name: str) -> tuple[Site, Mend]:
    site = make_site(name)
    Container.objects.filter(pk=site.row.pk).update(is_enabled=False)
    return site, lambda: None


TROUBLES = (
    no_trouble,
    no_key,
    login_refused,
    other_key,
    nobody_listens,
    old_build,
    file_gone,
    switched_off,
)


def roll_out(version: ClientSecret, sites: list[Site], actor: Actor) -> dict[str, Push]:
    """Start a rollout to what can be pushed to, and answer its bells; return the pushes by container."""
    installations = Installation.objects.pushable().filter(container__in=[site.row.pk for site in sites])
    services.assign(account=version.account, instances=[each.instance for each in installations], actor=actor)
    rollout = start_rollout(version=version, installations=installations, reason="new", actor=actor)
    for site in sites:
        deliver_all(site)
    return {push.container.name: push for push in rollout.pushes.select_related("container")}


def look_at(sites: list[Site], actor: Actor) -> None:
    """Have these containers read."""
    ask(containers=Container.objects.in_use().filter(pk__in=[site.row.pk for site in sites]), actor=actor)
    for site in sites:
        deliver_all(site)


def compare(said: Preview, done: dict[str, Push]) -> None:
    """Hold every row of a preview against what the rollout after it did."""
    assert {row.container for row in said.pushed} == done.keys()
    for row in said.pushed:
        push = done[row.container]
        code = Code.HOST_KEY_UNKNOWN if row.why == NO_HOST_KEY else row.why
        expected = ("succeeded", "") if row.fate == Fate.PUSHED else ("failed", code)
        assert (row.container, push.state, push.code) == (row.container, *expected)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_a_rollout_does_what_the_preview_said(
    make_site: MakeSite, account: TechnicalAccount, actor: Actor, seed: int
) -> None:
    """Seen once by a push or a reading; some are mended then, and seen again if the mending is not ours."""
    random = Random(seed)
    made = [(trouble, *trouble(make_site, trouble.__name__)) for trouble in TROUBLES]
    sites = [site for _trouble, site, _mend in made]
    version = account.newest_version
    assert version
    pushed = random.sample(sites, k=len(sites) // 2)
    roll_out(version, pushed, actor)
    look_at([site for site in sites if site not in pushed], actor)
    mended = random.sample(made, k=3)
    for _trouble, site, mend in mended:
        mend()
        look_at([site], actor)
    said = preview(version, Installation.objects.all(), assigns=True, leaves_out=TARGET)
    assert {row.container: row.why for row in said.rows if row.fate == Fate.LEFT_OUT} == {
        "switched_off": "container_off"
    }
    compare(said, roll_out(version, sites, actor))
    foretold = {row.container for row in said.rows if row.fate in (Fate.FAILS, Fate.LIKELY_FAILS)}
    troubled = {trouble.__name__ for trouble, _site, _mend in made} - {"no_trouble", "switched_off"}
    mended_names = {trouble.__name__ for trouble, _site, _mend in mended} - {"old_build"}
    assert foretold == troubled - mended_names
    times = [each.seconds for each in Attempt.objects.filter(kind="push", seconds__isnull=False)]
    again = preview(version, Installation.objects.all(), leaves_out=TARGET)
    assert again.estimate
    assert min(s for s in times if s) * 0.5 < again.estimate.high <= max(s for s in times if s) * len(sites)
