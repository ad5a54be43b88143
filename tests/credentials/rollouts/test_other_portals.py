"""Two portals on one fleet, or one with a wrong clock: noticed, named, and decided by an admin."""

from pathlib import Path

import pytest
from django.test import Client

from credentials.rollouts.models import Push
from credentials.rollouts.services import retry_pushes
from instances import nlserver, other_portals, ssh
from instances.models import OtherPortal
from instances.nlserver.conversation import HARMLESS_LINES
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start, deliver_all, only_push
from tests.services.waiting import wait_until

OTHER = "0123456789abcdef0123456789abcdef"


def fence_file(site: Site) -> Path:
    return site.container.install_root / "nl6/var/campaign-portal/prod1.fence"


def leave(site: Site, text: str) -> None:
    """Leave on the container what a portal leaves."""
    fence_file(site).parent.mkdir(exist_ok=True)
    fence_file(site).write_text(text)


def take_over(site: Site, client: Client) -> None:
    """Take over, as an admin does on the container's page."""
    page = f"/containers/{site.row.pk}/"
    shown = client.get(page).content.decode()
    last = OtherPortal.objects.get().last
    assert f'name="last" value="{last}"' in shown
    answer = client.post(f"/installations/{site.installation.pk}/take-over/", {"last": last})
    assert answer.headers["Location"] == page


def retry(push: Push, actor: Actor) -> None:
    retry_pushes(push_ids=[push.pk], actor=actor)


@pytest.mark.parametrize(
    "left",
    [f"5 1\n{OTHER}\n", "99999999999999 1\n", "99999999999999 1\nOWN\n"],
    ids=["another portal", "an older release, ahead", "a copy of this one, ahead"],
)
def test_another_portal_is_named_and_an_admin_decides(
    make_site: MakeSite, start: Start, as_admin: Client, actor: Actor, left: str
) -> None:
    site = make_site()
    left = left.replace("OWN", other_portals.own_id())
    leave(site, left)
    push = only_push(start(site))
    deliver_all(site)
    push.refresh_from_db()
    last = OTHER if OTHER in left else "99999999999999.1"
    assert (push.state, push.code, site.secret()) == ("failed", "other_portal", None)
    noted = f"the last push there was not made by this portal: {last}"
    assert push.attempts.latest("number").notes_in_words == [noted]
    assert last in as_admin.get(f"/containers/{site.row.pk}/").content.decode()

    retry(push, actor)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "other_portal")

    take_over(site, as_admin)
    assert AuditEvent.objects.get(action="installation.taken_over").details["last"] == last
    retry(push, actor)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, site.secret()) == ("succeeded", FIRST)
    assert not OtherPortal.objects.exists()
    # Whoever writes afterwards has to be decided about anew.
    leave(site, left)
    again = only_push(start(site))
    deliver_all(site)
    again.refresh_from_db()
    assert (again.state, again.code) == ("failed", "other_portal")


def test_a_look_settles_nothing_where_another_portal_wrote_since(
    make_site: MakeSite, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(ssh_faults=SSHFaults(drop_after_newline=HARMLESS_LINES + 1, drops_left=1))
    push = only_push(start(site))
    journal = fence_file(site).with_suffix(".journal")
    look = nlserver.look

    def look_later(connection: ssh.Connection, job: nlserver.Job) -> nlserver.Look:
        is_done = lambda: journal.exists() and "done" in journal.read_text()  # noqa: E731  # used once
        wait_until(is_done, within=60, what="the script to end")
        leave(site, f"5 1\n{OTHER}\n")
        return look(connection, job)

    monkeypatch.setattr(nlserver, "look", look_later)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "other_portal")
    # The look left the other one its own.
    assert fence_file(site).read_text() == f"5 1\n{OTHER}\n"


def test_what_changed_since_the_page_was_opened_is_not_taken_over(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    site = make_site()
    leave(site, f"5 1\n{OTHER}\n")
    start(site)
    deliver_all(site)
    with pytest.raises(other_portals.NoLongerThere):
        other_portals.take_over(installation=site.installation, last="f" * 32, actor=actor)
    assert not AuditEvent.objects.filter(action="installation.taken_over").exists()
