"""Every page of the portal as somebody opens it: which address, as whom, and which table it is about.

A page that a person can GET must stand here, also among the kinds, or `tests/test_page_costs.py` fails.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rotation.models import MaintenanceWindow, Rotation
from credentials.wizard.models import Draft
from credentials.wizard.steps import STEPS
from instances.discovery.models import Reading
from instances.inventory import pending
from instances.models import Container, HostKey, Installation, Instance, JumpHost
from portal.audit.models import AuditEvent
from portal.notices.models import Channel, Message

Place = Mapping[str, object]
LAST = "page=999999"
"""Django's paginator answers a number beyond the end with the last page."""


class Kind(StrEnum):
    """What a page is: the goals of `tests.benchmarks.pages` are about lists and details."""

    LIST = "list"
    DETAIL = "detail"
    TASK = "task"


KINDS: Mapping[str, Kind] = {
    name: kind
    for kind, names in (
        (Kind.LIST, "home accounts rollouts failed_pushes instances containers jump_hosts history users"),
        (Kind.LIST, "history_people"),
        (Kind.LIST, "locks unproven_successes rotations readings coverage drift proposals jwt_and_builds"),
        (Kind.LIST, "notices rotation_windows search contacts"),
        (Kind.DETAIL, "account rollout push instance container history_event user"),
        (Kind.DETAIL, "rotation installation instance_timeline container_timeline reading"),
        # Steps of the wizard, forms, questions, files, checks.
        (Kind.TASK, "login password_change preferences account_new account_secret account_rollout"),
        (Kind.TASK, "account_retire account_goal confirm_by_hand"),
        (Kind.TASK, "rotation_start rotation_verb rotation_policy"),
        (Kind.TASK, "rotation_window_add rotation_window rotation_window_remove"),
        (Kind.TASK, "hand_script hand_runbook hand_report"),
        (Kind.TASK, "wizard wizard_resume draft_delete instance_add instance_edit"),
        (Kind.TASK, "installation_add installation_remove container_add container_edit ssh_key"),
        (Kind.TASK, "instance_retire container_retire installation_retire"),
        (Kind.TASK, "instance_take_back container_take_back installation_take_back"),
        (Kind.TASK, "host_keys host_key_scan host_key_approve"),
        (Kind.TASK, "jump_host_add jump_host_edit jump_host_remove contact_edit"),
        (Kind.TASK, "inventory_import inventory_template inventory_preview"),
        (Kind.TASK, "history_verify user_add user_password"),
        (Kind.DETAIL, "notice"),
        (Kind.TASK, "help help_topic"),
        (Kind.TASK, "notice_channel notice_channel_add notice_channel_remove"),
    )
    for name in names.split()
}
"""By the name of the page."""


class Nothing(LookupError):
    """There is no such row in this portal, so the page cannot be opened."""


def _first(rows: Any) -> Any:  # Any: a query set of any model
    found = rows.first()
    if found is None:
        raise Nothing
    return found


def nowhere() -> Place:
    return {}


def an_account() -> Place:
    """The account with most instances."""
    active = TechnicalAccount.objects.filter(state=TechnicalAccount.State.ACTIVE)
    return {"pk": _first(active.annotate(size=Count("assignments")).order_by("-size")).pk}


def an_account_to_rotate() -> Place:
    """The account with most instances of which no rotation is open."""
    active = TechnicalAccount.objects.filter(state=TechnicalAccount.State.ACTIVE, is_rotating=False)
    return {"pk": _first(active.annotate(size=Count("assignments")).order_by("-size")).pk}


def a_version() -> Place:
    """The newest version of the account with most instances."""
    place: Place = an_account()
    usable = ClientSecret.objects.filter(state=ClientSecret.State.USABLE, account__pk__in=[place["pk"]])
    return {**place, "number": _first(usable.order_by("-version")).version}


def a_draft() -> Place:
    return {"pk": _first(Draft.objects.filter(has_json=False).order_by("pk")).account_id}


def a_draft_with_json() -> Place:
    """A draft of somebody who has the console's file."""
    return {"pk": _first(Draft.objects.filter(has_json=True)).account_id}


def a_rollout() -> Place:
    """The largest of the newest that are over: only those under way are asked how long they still take."""
    under_way = Push.objects.filter(state__in=["queued", "running"]).order_by().values("rollout")
    over = Rollout.objects.exclude(pk__in=under_way).values_list("pk", flat=True)
    newest = Rollout.objects.filter(pk__in=list(over[:9]))
    return {"pk": _first(newest.annotate(size=Count("pushes")).order_by("-size")).pk}


def a_rollout_under_way() -> Place:
    return {"pk": _first(Push.objects.filter(state="queued").order_by("-requested", "pk")).rollout_id}


def an_old_rollout() -> Place:
    return {"pk": _first(Rollout.objects.filter(pushes__isnull=False).order_by("number")).pk}


def a_push() -> Place:
    return {"pk": _first(Push.objects.filter(state="succeeded").order_by("-requested", "pk")).pk}


def a_queued_push() -> Place:
    return {"pk": _first(Push.objects.filter(state="queued").order_by("-requested", "pk")).pk}


def a_rotation() -> Place:
    """The newest one that is open, or else the newest."""
    rows = Rotation.objects.order_by("-number")
    return {"pk": (rows.open().first() or _first(rows)).pk}


def a_verb_of_a_rotation(name: str) -> Callable[[], Place]:
    def place() -> Place:
        return {"pk": _first(Rotation.objects.open()).pk, "name": name}

    return place


def a_window() -> Place:
    return {"pk": _first(MaintenanceWindow.objects.all()).pk}


def an_instance() -> Place:
    return {"pk": _first(Instance.objects.filter(installations__isnull=False)).pk}


def an_installation() -> Place:
    return {"pk": _first(Installation.objects.order_by("pk")).pk}


def a_container() -> Place:
    return {"pk": _first(Container.objects.all()).pk}


RETIRED = {"retired": timezone.now(), "retired_by": "alice", "retired_reason": "Decommissioned"}


def a_retired_instance() -> Place:
    return {"pk": Instance.objects.get_or_create(name="retired_mkt", defaults=RETIRED)[0].pk}


def a_retired_container() -> Place:
    values = {"address": "retired-1.campaign.example.com", **RETIRED}
    return {"pk": Container.objects.get_or_create(name="retired-1", defaults=values)[0].pk}


def a_retired_installation() -> Place:
    """The retired instance on the retired container; it is retired itself as well."""
    found = {"instance_id": a_retired_instance()["pk"], "container_id": a_retired_container()["pk"]}
    return {"pk": Installation.objects.get_or_create(**found, defaults=RETIRED)[0].pk}


def a_reading() -> Place:
    return {"pk": _first(Reading.objects.filter(state=Reading.State.SUCCEEDED).order_by("pk")).pk}


def a_host_key() -> Place:
    return {"pk": _first(HostKey.objects.exclude(state=HostKey.State.APPROVED).order_by("pk")).pk}


def a_jump_host() -> Place:
    return {"pk": _first(JumpHost.objects.all()).pk}


def an_event() -> Place:
    return {"seq": _first(AuditEvent.objects.filter(target_type="push").order_by("seq")).seq}


def a_person() -> Place:
    return {"pk": User.objects.get(username="henry").pk}


def a_channel() -> Place:
    return {"pk": _first(Channel.objects.all()).pk}


def a_notice() -> Place:
    return {"pk": _first(Message.objects.all()).pk}


def an_upload() -> Place:
    person = User.objects.get(username="alice")
    rows = b"instance,container,address\nnew_mkt,new-app-1,new-app-1.campaign.example.com\n"
    return {"upload": pending.keep(rows, user_id=person.pk)}


@dataclass(frozen=True)
class Visit:
    """One way to open a page. `table` is the model (`app.model`) whose list the page is compared with."""

    name: str
    table: str
    what: str = ""
    query: str = ""
    place: Callable[[], Place] = nowhere
    with_place: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    who: str = "alice"

    @property
    def title(self) -> str:
        return f"{self.name}, {self.what}" if self.what else self.name

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def url(self) -> str:
        """The address in this portal; `Nothing` if it has no such row."""
        path = reverse(self.name, kwargs={**self.place(), **self.with_place})
        return f"{path}?{self.query}" if self.query else path


ACCOUNT, DRAFT = "credentials.technicalaccount", "wizard.draft"
ROLLOUT, PUSH, ATTEMPT = "rollouts.rollout", "rollouts.push", "rollouts.attempt"
ROTATION, WINDOW = "rotation.rotation", "rotation.maintenancewindow"
INSTANCE, CONTAINER, INSTALLATION = "instances.instance", "instances.container", "instances.installation"
READING, OBSERVATION = "discovery.reading", "discovery.observation"
EVENT, USER = "audit.auditevent", "auth.user"
CHANNEL, NOTICE = "notices.channel", "notices.message"
LIVE = {"HX-Request": "true"}


def _steps() -> Iterator[Visit]:
    for step in STEPS["new"]:
        table = INSTALLATION if step.slug in ("instances", "review") else DRAFT
        yield Visit("wizard", table, step.slug, place=a_draft, with_place={"step": step.slug})


VISITS: tuple[Visit, ...] = (
    Visit("home", INSTALLATION, "fleet"),
    Visit("home", PUSH, "queue", "for=queue"),
    Visit("home", EVENT, "audit", "for=audit"),
    Visit("contacts", CONTAINER),
    Visit("contact_edit", CONTAINER, with_place={"environment": "production"}),
    Visit("search", INSTANCE),
    Visit("search", INSTANCE, "found everywhere", "q=a"),
    Visit("search", CONTAINER, "nothing found", "q=nowhere-to-be-found"),
    Visit("search", ROLLOUT, "number", "q=%231"),
    Visit("search", PUSH, "ID", "q=00000000-0000-0000-0000-000000000001"),
    Visit("search", INSTALLATION, "by both names", "q=a+on+b"),
    Visit("help", ROLLOUT),
    Visit("help_topic", ROLLOUT, "codes", with_place={"name": "codes"}),
    Visit("help_topic", ROLLOUT, "daily work", with_place={"name": "admin"}),
    Visit("login", USER, who=""),
    Visit("password_change", USER),
    Visit("preferences", USER),
    Visit("accounts", ACCOUNT),
    Visit("accounts", ACCOUNT, "search", "q=experience&state=active"),
    Visit("account", ACCOUNT, place=an_account),
    Visit("account", INSTALLATION, "last page", LAST, an_account),
    Visit("account", ROLLOUT, "history", "show=history", an_account),
    Visit("account", ROLLOUT, "history, last page", f"show=history&{LAST}", an_account),
    Visit("account_retire", ACCOUNT, place=an_account),
    Visit("account_goal", ACCOUNT, place=a_version),
    Visit("rotations", ROTATION),
    Visit("rotations", ROTATION, "of a time", "since=2026-01-01&until=2026-12-31"),
    Visit("rotation", ROTATION, place=a_rotation),
    Visit("rotation_start", ACCOUNT, place=an_account_to_rotate),
    Visit("rotation_verb", ROTATION, "take back", place=a_verb_of_a_rotation("take-back")),
    Visit("rotation_verb", ROTATION, "pass a gate", place=a_verb_of_a_rotation("pass-gate")),
    Visit("rotation_policy", ACCOUNT, place=an_account),
    Visit("rotation_windows", WINDOW),
    Visit("rotation_window_add", WINDOW),
    Visit("rotation_window", WINDOW, place=a_window),
    Visit("rotation_window_remove", WINDOW, place=a_window),
    Visit("account_new", ACCOUNT),
    Visit("wizard_resume", DRAFT, place=a_draft),
    *_steps(),
    Visit("wizard", INSTALLATION, "instances, last page", LAST, a_draft, {"step": "instances"}),
    Visit("wizard", INSTALLATION, "instances, search", "q=brand00001", a_draft, {"step": "instances"}),
    Visit("wizard", INSTALLATION, "review, last page", LAST, a_draft, {"step": "review"}),
    Visit("wizard", DRAFT, "credential", place=a_draft_with_json, with_place={"step": "credential"}),
    Visit("draft_delete", DRAFT, place=a_draft),
    Visit("account_secret", ACCOUNT, place=an_account),
    Visit("account_rollout", INSTALLATION, place=an_account),
    Visit("account_rollout", INSTALLATION, "all instances", "all=1", an_account),
    Visit("account_rollout", INSTALLATION, "all instances, last page", f"all=1&{LAST}", an_account),
    Visit("account_rollout", INSTALLATION, "search", "all=1&q=brand00001", an_account),
    Visit("rollouts", ROLLOUT),
    Visit("rollouts", ROLLOUT, "last page", LAST),
    Visit("rollouts", ROLLOUT, "filter", "reason=rotation"),
    Visit("rollout", PUSH, place=a_rollout),
    Visit("rollout", PUSH, "last page", LAST, a_rollout),
    Visit("rollout", PUSH, "filter", "state=failed", a_rollout),
    Visit("rollout", PUSH, "oldest", "", an_old_rollout),
    Visit("rollout", PUSH, "under way", "", a_rollout_under_way),
    Visit("rollout", PUSH, "live part", "", a_rollout_under_way, headers=LIVE),
    Visit("failed_pushes", PUSH),
    Visit("unproven_successes", PUSH),
    Visit("failed_pushes", PUSH, "last page", LAST),
    Visit("failed_pushes", PUSH, "filter", "state=failed&container=app*"),
    Visit("failed_pushes", PUSH, "of somebody", "mender=helpdesk"),
    Visit("push", ATTEMPT, place=a_push),
    Visit("push", ATTEMPT, "live part", "", a_queued_push, headers=LIVE),
    Visit("coverage", INSTALLATION),
    Visit("coverage", INSTALLATION, "last page", LAST),
    Visit("coverage", INSTALLATION, "filter", "state=needs_you"),
    Visit("coverage", INSTALLATION, "as of a day", "at=2026-10-01"),
    Visit("drift", INSTALLATION),
    Visit("confirm_by_hand", INSTALLATION, place=an_installation),
    Visit("hand_script", INSTALLATION),
    Visit("hand_runbook", INSTALLATION, place=an_installation),
    Visit("hand_report", INSTALLATION, place=an_installation),
    Visit("instances", INSTANCE),
    Visit("instances", INSTANCE, "last page", LAST),
    Visit("instances", INSTANCE, "search", "q=0001&environment=production"),
    Visit("instance_add", INSTANCE),
    Visit("instance", INSTANCE, place=an_instance),
    Visit("instance_edit", INSTANCE, place=an_instance),
    Visit("installation_add", INSTALLATION, place=an_instance),
    Visit("installation_remove", INSTALLATION, place=an_installation),
    Visit("instance_retire", PUSH, place=an_instance),
    Visit("instance_take_back", INSTALLATION, place=a_retired_instance),
    Visit("installation_retire", PUSH, place=an_installation),
    Visit("installation_take_back", INSTALLATION, place=a_retired_installation),
    Visit("container_retire", PUSH, place=a_container),
    Visit("container_take_back", INSTALLATION, place=a_retired_container),
    Visit("instances", INSTANCE, "retired", "show=retired"),
    Visit("containers", CONTAINER, "retired", "show=retired"),
    Visit("inventory_import", INSTALLATION),
    Visit("inventory_template", INSTALLATION),
    Visit("inventory_preview", INSTALLATION, place=an_upload),
    Visit("containers", CONTAINER),
    Visit("containers", CONTAINER, "last page", LAST),
    Visit("containers", CONTAINER, "search", "q=001&switch=on"),
    Visit("containers", CONTAINER, "filter", "host_key=offered"),
    Visit("containers", CONTAINER, "not seen for a week, on JWT", "seen=old&jwt=yes"),
    Visit("container_add", CONTAINER),
    Visit("container", CONTAINER, place=a_container),
    Visit("container_edit", CONTAINER, place=a_container),
    Visit("readings", CONTAINER),
    Visit("reading", READING, place=a_reading),
    Visit("proposals", READING),
    Visit("proposals", READING, "last page", LAST),
    Visit("proposals", READING, "filter", "kind=gone&q=app0001"),
    Visit("jwt_and_builds", OBSERVATION),
    Visit("installation", OBSERVATION, place=an_installation),
    Visit("installation", OBSERVATION, "as of", "at=2026-01-31+12:00", an_installation),
    Visit("container_timeline", OBSERVATION, place=a_container),
    Visit("container_timeline", OBSERVATION, "everything", "show=all", a_container),
    Visit("instance_timeline", OBSERVATION, place=an_instance),
    Visit("instance_timeline", OBSERVATION, "as of", "at=2026-01-31+12:00", an_instance),
    Visit("host_keys", CONTAINER),
    Visit("host_key_scan", CONTAINER, headers=LIVE),
    Visit("host_key_approve", CONTAINER, place=a_host_key),
    Visit("ssh_key", CONTAINER),
    Visit("jump_hosts", CONTAINER),
    Visit("jump_host_add", CONTAINER),
    Visit("jump_host_edit", CONTAINER, place=a_jump_host),
    Visit("jump_host_remove", CONTAINER, place=a_jump_host),
    Visit("history", EVENT),
    Visit("history", EVENT, "oldest", "after=0"),
    Visit("history", EVENT, "own events", "", who="henry"),
    Visit("history", EVENT, "filter", "action=user&who=alice"),
    Visit("history", EVENT, "search, found", "text=CHG0"),
    Visit("history", EVENT, "search, nothing found", "text=nowhere-to-be-found"),
    Visit("history", EVENT, "object, nothing found", "object=nowhere-to-be-found"),
    Visit("history", EVENT, "who, nothing found", "who=nowhere-to-be-found"),
    Visit("history", EVENT, "dates", "since=2025-01-01&until=2025-01-31"),
    Visit("history_event", EVENT, place=an_event),
    Visit("history_verify", EVENT),
    Visit("history_people", EVENT),
    Visit("users", USER),
    Visit("locks", USER),
    Visit("user_add", USER),
    Visit("user", EVENT, place=a_person),
    Visit("user_password", USER, place=a_person),
    Visit("notices", NOTICE),
    Visit("notices", NOTICE, "last page", LAST),
    Visit("notice", NOTICE, place=a_notice),
    Visit("notice_channel", CHANNEL, place=a_channel),
    Visit("notice_channel_add", CHANNEL),
    Visit("notice_channel_remove", NOTICE, place=a_channel),
)
