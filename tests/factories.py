"""Rows of the inventory, of accounts and of rollouts, as tests need them."""

import uuid
from collections.abc import Sequence
from datetime import time, timedelta

from django.utils import timezone

from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation.maintenance import save_window
from credentials.rotation.models import MaintenanceWindow, Rotation
from credentials.rotation.services import start as start_rotation
from credentials.services import abandon, add_secret
from instances.models import Container, HostKey, Installation, Instance, JumpHost
from portal.audit.trail import Actor
from portal.notices.channels import save_channel
from portal.notices.models import Channel
from portal.plaintext import Secret

SOMEBODY = Actor("somebody")
FILE_DIGEST = "d" * 64
JUMP_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def make_instance(*, name: str = "prod1", deployment: str = "on-premise") -> Instance:
    return Instance.objects.get_or_create(name=name, defaults={"deployment": deployment})[0]


def make_container(*, name: str = "web1", is_enabled: bool = True, approved: bool = True) -> Container:
    container = Container.objects.create(name=name, address=f"{name}.example.com", is_enabled=is_enabled)
    state = HostKey.State.APPROVED if approved else HostKey.State.OFFERED
    make_host_key(container=container, state=state)
    return container


def make_jump_host(*, name: str = "bastion-1") -> JumpHost:
    return JumpHost.objects.create(
        name=name, address=f"{name}.example.com", login="portal", host_keys=JUMP_HOST_KEY
    )


def make_host_key(*, container: Container, state: str) -> HostKey:
    return HostKey.objects.create(
        container=container,
        type="ssh-ed25519",
        base64="AAAA",
        fingerprint=f"SHA256:{uuid.uuid4().hex}",
        state=state,
    )


def make_channel(
    *,
    name: str = "Operators",
    way: str = "mail",
    address: str = "team@example.com",
    kinds: Sequence[str] = (),
    language: str = "en",
) -> Channel:
    """A channel of notices that gets these kinds, or everything."""
    channel = Channel(
        name=name, way=way, address=address, wants_all=not kinds, kinds=list(kinds), language=language
    )
    return save_channel(channel, actor=SOMEBODY)


def make_installation(
    *,
    instance: str = "prod1",
    container: str = "web1",
    build: int | None = None,
    deployment: str = "on-premise",
) -> Installation:
    """An installation, with the instance and the container if there are none; the host key is approved."""
    found = Container.objects.filter(name=container).first() or make_container(name=container)
    row = make_instance(name=instance, deployment=deployment)
    return Installation.objects.create(instance=row, container=found, observed_build=build)


def make_account(
    *, name: str = "Triggers", secret: str = "p8e-first", instances: Sequence[str] = ()
) -> ClientSecret:
    """An active account that the instances use; return its secret."""
    account = TechnicalAccount.objects.create(
        name=name,
        state=TechnicalAccount.State.ACTIVE,
        organization_id="0123456789ABCDEF01234567@AdobeOrg",
        client_id=uuid.uuid4().hex,
        technical_account_id="0123456789ABCDEF01234567@techacct.adobe.com",
    )
    for instance in instances:
        Assignment.objects.create(
            instance=make_instance(name=instance), account=account, assigned_by=SOMEBODY.name
        )
    return add_secret(account=account, plaintext=Secret(secret), actor=SOMEBODY)[0]


def next_version(account: TechnicalAccount, plaintext: Secret, *, actor: Actor = SOMEBODY) -> ClientSecret:
    """Another version of an account in use; the older of two that are usable is given up, needed or not."""
    usable = list(account.secrets.filter(state=ClientSecret.State.USABLE).order_by("version"))
    if len(usable) == len(ClientSecret.SLOTS):
        abandon(version=usable[0], actor=actor)
    return add_secret(account=account, plaintext=plaintext, actor=actor)[0]


def make_rollout(
    *,
    account: str = "Triggers",
    instance: str = "prod1",
    containers: Sequence[str] = ("web1",),
    message: str = "",
) -> Rollout:
    """A rollout of a new account to one instance on these containers; nothing has been delivered."""
    installations = [make_installation(instance=instance, container=name) for name in containers]
    secret = make_account(name=account, instances=[instance])
    return start_rollout(
        version=secret, installations=installations, reason="new", actor=SOMEBODY, message=message
    )


def make_rotation(*, account: str = "Triggers", instance: str = "prod1") -> Rotation:
    """A rotation by hand that has just been started; its account is in use on one container."""
    rollout = make_rollout(account=account, instance=instance)
    finish_all(rollout, state="succeeded")
    found = TechnicalAccount.objects.get(pk=rollout.secret.account_id)
    return start_rotation(account=found, actor=SOMEBODY)


def make_window(
    *, environment: str = "production", days: Sequence[str] = ("tue",), minutes: int = 360
) -> MaintenanceWindow:
    """A maintenance window that begins at 22:00 in Paris."""
    row = MaintenanceWindow(
        environment=environment,
        weekdays=list(days),
        starts=time(22),
        minutes=minutes,
        zone="Europe/Paris",
    )
    return save_window(row, actor=SOMEBODY)


def finish(
    push: Push,
    *,
    state: str,
    code: str = "",
    output: str = "",
    cause: str = "rollout",
    digest: str = FILE_DIGEST,
) -> Attempt:
    """Give a push an outcome, with the attempt that showed it and the digest that it left in the file."""
    now = timezone.now()
    attempt = Attempt.objects.create(
        push=push,
        number=push.attempts.count() + 1,
        cause=cause,
        caused_by=push.cause_by,
        message=push.cause_message,
        secret_version=push.rollout.secret.version,
        secret_fingerprint=push.rollout.secret.fingerprint,
        lease_token=uuid.uuid4(),
        worker="worker1",
        started=now - timedelta(seconds=2),
        finished=now,
        seconds=2.0,
        stage=Attempt.Stage.DONE,
        verdict=state,
        code=code,
        exit_codes={"config": 0},
        output=output,
        before_digest="b" * 64,
        after_digest=digest,
        proof=Attempt.Proof.CHANGED if state == Push.State.SUCCEEDED else "",
        build=9394,
        host_key="SHA256:abc",
    )
    ended = None if state in (Push.State.UNKNOWN, Push.State.QUEUED) else now
    values: dict[str, object] = {"state": state, "code": code, "finished": ended}
    if state == Push.State.UNKNOWN:
        values |= {"unknown_since": now, "cause": "look"}
    Push.objects.filter(pk=push.pk).update(**values)
    if state == Push.State.SUCCEEDED:
        account = push.rollout.secret.account
        Installation.objects.filter(pk=push.installation_id).update(
            observed=now,
            observed_digest=digest,
            observed_client_id=account.client_id,
            observed_account_id=account.technical_account_id,
        )
    return attempt


def finish_all(rollout: Rollout, *, state: str, code: str = "") -> None:
    for push in rollout.pushes.all():
        finish(push, state=state, code=code)
