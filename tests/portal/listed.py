"""Every list that can be exported: its columns, who may have it, and rows in each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from credentials.rollouts.models import ProvenWrite, Push, Rollout
from instances.discovery.models import Reading
from instances.discovery.observing import Sight, observe
from instances.inventory.csv_format import COLUMNS
from instances.models import Contact, HostKey, Installation
from portal.notices.channels import ask_test
from portal.people.models import FailedSignIns
from portal.people.services import create_user
from portal.people.signing_in.lock_out import ADDRESS_LIMIT, FAILURE_LIMIT
from tests.factories import (
    FILE_DIGEST,
    SOMEBODY,
    finish,
    finish_all,
    make_channel,
    make_container,
    make_host_key,
    make_jump_host,
    make_rollout,
    make_rotation,
    make_window,
)

Place = dict[str, str]
"""By the name of an export: the filters that name the rollout, push or instance that it belongs to."""
OUTPUT = "what the container printed"
HOOK = "token-of-the-hook"


@dataclass(frozen=True)
class Listed:
    """One export. `filters` leave the rows that have `value` in `column`, and no others."""

    permission: str
    columns: str
    filters: str = ""
    column: str = ""
    value: object = None
    order: Callable[[dict[str, Any]], Any] | None = None  # Any: of a row of JSON
    """What its rows are sorted by, where no address says otherwise."""
    has_names: bool = True
    """Whether it has a text that people typed."""


def by(*names: str) -> Callable[[dict[str, Any]], Any]:  # Any: of a row of JSON
    return lambda row: [row[name] for name in names]


RETIRED = "retired retired_by retired_reason"
WHAT = "rollout account version fingerprint"
REACHED = "address port jump_host login become install_root by_hand"
STAGES = ("jwt", "old", "unknown", "done")
NEEDING = ("failed", "unknown")

EXPORTS: dict[str, Listed] = {
    "accounts": Listed(
        "credentials.view_technicalaccount",
        "account state way organization_id client_id technical_account_id technical_account_email product"
        " product_profile project created goal goal_fingerprint goal_entered goal_entered_by instances"
        " installations holding_goal",
        *("q=Rotated", "account", "Rotated"),
        order=by("account"),
    ),
    "attempts": Listed(
        "rollouts.view_rollout",
        "instance container push attempt version fingerprint kind cause caused_by message started finished"
        " seconds stage verdict code proof build host_key",
        order=lambda row: -row["attempt"],
    ),
    "contacts": Listed("instances.view_container", "environment who reach hours"),
    "containers": Listed(
        "instances.view_container",
        f"container {REACHED} on host_key instances on_jwt last_seen {RETIRED}",
        *("host_key=offered", "container", "new"),
        order=by("container"),
    ),
    "coverage": Listed(
        "credentials.view_technicalaccount",
        "instance container environment role account state need holds fingerprint how desires goal certainty"
        " seen_since seen_last holds_of",
        *("state=drifted", "need", "drifted"),
        order=by("instance", "container"),
    ),
    "drift": Listed(
        "credentials.view_technicalaccount",
        "instance container account observation seen_since seen_last compared_with compared_since differs"
        " holds holds_of written written_of client_id_before client_id_now account_id_before account_id_now"
        " organization_id_before organization_id_now is_jwt_before is_jwt_now",
        order=by("instance", "container"),
    ),
    "failed_pushes": Listed(
        "rollouts.view_rollout",
        f"instance container {WHAT} state code what_happened menders failing_since tries retried requested"
        " finished push",
        *("container=web0", "container", "web0"),
    ),
    "host_keys": Listed(
        "instances.approve_host_key",
        "container address port jump_host instances type fingerprint last_shown doubt",
        order=by("container"),
    ),
    "instances": Listed(
        "instances.view_instance",
        f"instance environment deployment role uses_triggers containers on_old_build on_jwt {RETIRED}",
        *("q=drifting", "instance", "drifting"),
        order=by("instance"),
    ),
    "inventory": Listed(
        "instances.view_container",
        " ".join(COLUMNS),
        *("q=drifting", "instance", "drifting"),
        order=by("instance"),
    ),
    "jump_hosts": Listed(
        "instances.change_inventory",
        "jump_host address port login host_keys containers",
        order=by("jump_host"),
    ),
    "jwt_and_builds": Listed(
        "instances.view_instance",
        "instance environment stage containers on_jwt below_9383 never_seen builds last_seen",
        *("stage=jwt", "instance", "drifting"),
        order=lambda row: (STAGES.index(row["stage"]), row["instance"]),
    ),
    "locks": Listed(
        "auth.change_user",
        "locked name addresses own_password known_browsers tries since until",
    ),
    "maintenance_windows": Listed(
        "rotation.view_rotation",
        "environment weekdays starts minutes zone open_now",
        has_names=False,
    ),
    "notice_channels": Listed(
        "notices.manage_notices",
        "channel address way wants_all kinds language is_on",
        order=by("channel"),
    ),
    "notices": Listed(
        "notices.manage_notices",
        "message channel kind count state code status tries queued due ended",
    ),
    "observations": Listed(
        "instances.view_instance",
        "observation instance container at last_seen ended sights source source_id last_source"
        " last_source_id build client_id account_id organization_id digest is_jwt",
        order=lambda row: -row["observation"],
    ),
    "people_on_a_day": Listed(
        "audit.export_events",
        "day name user from until role role_since role_by role_entry can_sign_in access_since access_by"
        " access_entry events_of_the_day locks_of_the_day",
    ),
    "proposals": Listed(
        "instances.view_container",
        "proposal kind instance container builds hosted applicable at reading left left_by left_reason",
        *("kind=jwt_present", "instance", "drifting"),
    ),
    "pushes": Listed(
        "rollouts.view_rollout",
        f"instance container {WHAT} state code attempts seconds requested finished changed next_try push",
        *("state=failed", "state", "failed"),
        order=lambda row: (row["state"] not in NEEDING, row["container"]),
    ),
    "readings": Listed(
        "instances.view_container",
        "container reading state asked asked_by started finished code build found not_in_inventory",
        order=by("container"),
    ),
    "rollouts": Listed(
        "rollouts.view_rollout",
        f"{WHAT} reason message requested requested_by state shown_state pushes"
        f" {' '.join(Push.State.values)}",
        *("reason=new", "reason", "new"),
        order=lambda row: -row["rollout"],
    ),
    "rotations": Listed(
        "rotation.view_rotation",
        "rotation account old_version old_fingerprint new_version new_fingerprint state wait hold way is_leak"
        " policy message started started_by acts_for ended",
    ),
    "unproven_successes": Listed(
        "rollouts.view_rollout",
        f"instance container {WHAT} requested finished push",
    ),
    "users": Listed("auth.change_user", "name role active last_sign_in"),
}


def fill(prefix: str = "", size: int = 1) -> Place:
    """Make at least one row in every list; return the places of those lists that belong to something.

    These get `size` rows.
    """
    names = [f"{prefix}web{number}" for number in range(size)]
    rollout = make_rollout(account=f"{prefix}Triggers", instance=f"{prefix}prod", containers=names)
    for push in rollout.pushes.all():
        for _attempt in range(size):
            finish(push, state="failed", code="timed_out", output=OUTPUT)
        _sights(push.installation, size)
        _reading(push.installation)
    _unproven(prefix)
    _drifting(prefix)
    make_rotation(account=f"{prefix}Rotated", instance=f"{prefix}rotated")
    make_jump_host(name=f"{prefix}bastion")
    make_host_key(container=make_container(name=f"{prefix}new", approved=False), state=HostKey.State.OFFERED)
    Contact.objects.get_or_create(
        environment="production", defaults={"who": f"{prefix}Server team", "reach": "4711"}
    )
    make_window()
    ask_test(make_channel(name=f"{prefix}Operators"), actor=SOMEBODY)
    _locks(prefix)
    return {
        "pushes": f"rollout={rollout.pk}",
        "attempts": f"push={rollout.pushes.all()[0].pk}",
        "observations": f"instance={rollout.pushes.all()[0].installation.instance_id}",
    }


def _sights(installation: Installation, size: int) -> None:
    for number in range(size):
        sight = Sight(f"client{number}", "", "", "e" * 64, is_jwt=False, stamp=str(number))
        observe(installation_id=installation.pk, sight=sight, source="read", source_id="somewhere")


def _reading(installation: Installation) -> None:
    now = timezone.now() + timedelta(seconds=1)
    Reading.objects.create(
        container=installation.container,
        asked_by="henry",
        state="succeeded",
        started=now,
        finished=now,
        found={installation.instance.name: "", "stray": ""},
        build=9394,
    )


def _unproven(prefix: str) -> None:
    rollout = make_rollout(account=f"{prefix}Old", instance=f"{prefix}old", containers=[f"{prefix}old1"])
    finish_all(rollout, state="succeeded")
    ProvenWrite.objects.filter(installation__pushes__rollout=rollout).delete()
    rollout.pushes.update(is_unproven=True)


def _drifting(prefix: str) -> Rollout:
    rollout = make_rollout(
        account=f"{prefix}Drifting", instance=f"{prefix}drifting", containers=[f"{prefix}drifting1"]
    )
    finish_all(rollout, state="succeeded")
    account, installation = rollout.secret.account, rollout.pushes.get().installation
    names = (account.client_id, account.technical_account_id, "ORG@AdobeOrg", FILE_DIGEST)
    for stamp, is_jwt in (("1", False), ("2", True)):
        seen = observe(
            installation_id=installation.pk,
            sight=Sight(*names, is_jwt=is_jwt, stamp=stamp),
            source="read",
            source_id="somewhere",
        )
        if not is_jwt:
            ProvenWrite.objects.filter(installation=installation).update(observation=seen)
    return rollout


def _locks(prefix: str) -> None:
    now, number = timezone.now(), User.objects.count()
    person = create_user(name=f"{prefix}locked", password="", role="Helpdesk", actor=SOMEBODY)
    places = (f"192.0.2.{number}", FAILURE_LIMIT, person), (f"198.51.100.{number}", ADDRESS_LIMIT, None)
    for address, failures, user in places:
        FailedSignIns.objects.create(
            name_hash=f"{prefix}{address}", user=user, address=address, failures=failures, last=now
        )
