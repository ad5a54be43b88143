"""Django's admin over the portal's tables, with the columns that the portal's own lists show."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.urls import URLPattern, URLResolver, path

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rotation.models import MaintenanceWindow, Rotation
from credentials.wizard.models import Draft
from instances.discovery.models import Observation, Reading
from instances.models import Container, Installation, Instance
from portal.audit.models import AuditEvent
from portal.notices.models import Channel, Message

COLUMNS: dict[type[Model], tuple[str, ...]] = {
    AuditEvent: ("seq", "at", "actor_name", "action", "target_name"),
    Attempt: ("number", "push", "cause", "verdict", "code", "started"),
    Push: ("installation", "state", "code", "rollout", "requested"),
    Rollout: ("number", "secret", "reason", "requested", "requested_by_name"),
    TechnicalAccount: ("name", "state", "client_id", "created"),
    Draft: ("account", "step", "changed", "changed_by_name"),
    Instance: ("name", "environment", "deployment", "role", "uses_triggers"),
    Container: ("name", "address", "port", "login", "is_enabled"),
    Installation: ("instance", "container", "observed_build", "observed"),
    Reading: ("container", "state", "code", "asked", "asked_by", "build"),
    Observation: ("id", "installation", "at", "last_seen", "client_id", "is_jwt", "build"),
    Rotation: ("number", "account", "state", "wait", "requested", "ended"),
    MaintenanceWindow: ("environment", "starts", "minutes", "zone"),
    Channel: ("name", "way", "address", "is_on"),
    Message: ("kind", "channel_name", "state", "code", "tries", "queued"),
    User: ("username", "is_active", "last_login"),
}
RELATED: dict[type[Model], tuple[str, ...]] = {
    Attempt: ("push__installation__instance", "push__installation__container", "push__rollout"),
    Observation: ("installation__instance", "installation__container"),
    Push: ("installation__instance", "installation__container", "rollout__secret__account"),
    Rollout: ("secret__account",),
}
"""What somebody with this many rows would certainly add, since each row would need several queries else."""

site = admin.AdminSite()
for model, columns in COLUMNS.items():
    options = {"list_display": columns, "list_select_related": RELATED.get(model, True)}
    site.register(model, type(f"{model.__name__}Admin", (admin.ModelAdmin,), options))

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", site.urls)]
