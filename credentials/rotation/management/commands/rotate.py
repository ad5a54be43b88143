"""`rotate`: starts, steers and shows rotations of accounts' secrets."""

import sys
import time
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.adobe.console_json import MAX_BYTES, decode
from credentials.by_name import active_account
from credentials.models import TechnicalAccount
from credentials.rotation import moving, reading, services, waits
from credentials.rotation.models import Rotation
from credentials.rotation.plans import RuleError
from credentials.rotation.services import RotationError, start
from credentials.rotation.verbs import VERBS, offered, run
from credentials.services import AccountError
from credentials.values import CLIENT_SECRET
from instances.models import Installation
from instances.pages.moments import parse_moment
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, did_you_mean, moment, read_input, table, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.plaintext import Secret
from portal.punctuation import labelled

PATIENCE = 900.0  # seconds, for --wait without a number
PAUSE = 0.5
ENDED_SHOWN = 200
HEADINGS = (
    gettext_lazy("ROTATION"),
    gettext_lazy("ACCOUNT"),
    gettext_lazy("STATE"),
    gettext_lazy("WAITS FOR"),
    gettext_lazy("OLD"),
    gettext_lazy("NEW"),
    gettext_lazy("STARTED"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "Replace an account's secret, from the second secret to the end of the first: start a rotation, show "
        "what it waits for, and steer it. A worker does the work. With --wait, the exit code is 0 only if "
        "the rotation is done, and 1 as soon as it waits for a person."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("Start, steer and show rotations of accounts' secrets")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["list", "show", "start", *VERBS])
        parser.add_argument("account", nargs="?", help=_("name of the technical account; not for list"))
        begin = parser.add_argument_group(_("start"))
        begin.add_argument(
            "--way", choices=Rotation.Way.values, help=_("who makes and deletes secrets at Adobe")
        )
        begin.add_argument(
            "--organization-number", metavar="N", help=_("for Adobe's API; kept with the account")
        )
        begin.add_argument("--credential-number", metavar="N", help=_("likewise"))
        begin.add_argument(
            "--secret-version", type=int, metavar="N", help=_("a second version that is stored")
        )
        begin.add_argument(
            "--waves",
            default=services.USUAL_WAVES,
            metavar="RULE",
            help=_('environment, role, or sizes such as "1, 10%%, 100%%"'),
        )
        begin.add_argument("--leak", action="store_true", help=_("the secret has leaked: skip all waiting"))
        begin.add_argument(
            "--migration-closed", action="store_true", help=_("the JWT credential was deleted in the console")
        )
        begin.add_argument("--message", default="", help=_("for the history, such as a ticket number"))
        more = parser.add_argument_group(_("start, and the verbs that need it"))
        more.add_argument("--stop", metavar="RULE", help=_("stop if more fail than this: a number or N%%"))
        more.add_argument("--canary", metavar="INSTANCE@CONTAINER", help=_("the installation that is first"))
        more.add_argument("--reason", default="", help=_("why; kept in the history"))
        more.add_argument("--gate", help=_("pass-gate: the gate that it waits at"))
        more.add_argument(
            "--used", metavar="MOMENT", help=_("report-usage: such as 2026-03-14T09:30, or never")
        )
        more.add_argument("--secret-file", metavar="FILE", help=_("enter-secret: file with the secret, or -"))
        more.add_argument("--accept-unusual", action="store_true", help=_("enter-secret: of an unusual form"))
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=_("wait until it has ended or a person is needed (at most %d seconds)") % PATIENCE,
        )
        add_json(parser)

    @sensitive_variables()
    def handle(
        self,
        *args: str,
        verb: str,
        account: str | None = None,
        wait: float | None = None,
        json: bool = False,
        **options: Any,  # Any: what argparse makes of the options
    ) -> None:
        if verb == "list":
            return self._list(json)
        if account is None:
            raise wrong_call(_("Name the technical account."))
        found = active_account(account)
        try:
            rotation = self._do(verb, found, options)
        except (RotationError, RuleError, AccountError) as error:
            raise CommandError(str(error)) from None
        if wait is not None:
            rotation = _wait(rotation, wait, self.stderr.write)
        self._show(rotation, json)
        if wait is not None and rotation.state != Rotation.State.DONE:
            sys.exit(1)
        return None

    def _do(self, verb: str, account: TechnicalAccount, options: dict[str, Any]) -> Rotation:
        if verb == "start":
            return _start(account, options)
        rotation = _last(account)
        if verb == "show":
            return rotation
        chosen = VERBS[verb]
        if not chosen.can(rotation):
            fitting = ", ".join(each.name for each in offered(rotation)) or _("none")
            raise CommandError(
                _(
                    "%(verb)s does not fit: the rotation is %(state)s, waiting for %(wait)s. What "
                    "fits: %(fitting)s."
                )
                % {"verb": verb, "state": rotation.state, "wait": rotation.wait, "fitting": fitting}
            )
        self.stderr.write(chosen.explain(rotation))
        given = {name: _value(name, rotation, options) for name in chosen.fields}
        return run(chosen, rotation, actor=operator(), **given)

    def _list(self, json: bool) -> None:
        related = Rotation.objects.select_related("account", "old", "new")
        rows = [*related.open(), *related.exclude(ended=None)[:ENDED_SHOWN]]
        if json:
            self.stdout.write(as_json({"rotations": [as_dict(row) for row in rows]}))
        elif rows:
            self.stdout.write(table(HEADINGS, map(_row, rows)))
        else:
            self.stdout.write(_("No rotation yet."))

    def _show(self, rotation: Rotation, json: bool) -> None:
        rotation = Rotation.objects.select_related("account", "old", "new").get(pk=rotation.pk)
        if json:
            self.stdout.write(as_json(in_full(rotation)))
            return
        self.stdout.write(table(HEADINGS, [_row(rotation)]))
        if rotation.is_open:
            self.stdout.write(f"{rotation.get_wait_display()}. {waits.cause(rotation.wait, rotation.params)}")
            self.stdout.write(waits.next_step(rotation.wait, rotation.params))
            self.stdout.write(_("Verbs: %s") % ", ".join(each.name for each in offered(rotation)))
        for way in reading.in_the_way(rotation).first(reading.SHOWN):
            self.stdout.write(f"  {labelled(way.name, way.label)}. {way.advice}")


def _row(rotation: Rotation) -> tuple[object, ...]:
    new = f"v{rotation.new.version}" if rotation.new else "-"
    waiting = rotation.wait if rotation.is_open else "-"
    started = moment(rotation.requested)
    return (
        rotation.number,
        rotation.account.name,
        rotation.state,
        waiting,
        f"v{rotation.old.version}",
        new,
        started,
    )


def as_dict(rotation: Rotation) -> dict[str, object]:
    """Return a rotation for machines."""
    return {
        "rotation": rotation.number,
        "account": rotation.account.name,
        "state": rotation.state,
        "waits_for": rotation.wait,
        "needs_person": rotation.needs_person,
        "params": rotation.params,
        "way": rotation.way,
        "leak": rotation.is_leak,
        "old": rotation.old.version,
        "new": rotation.new.version if rotation.new else None,
        "started": rotation.requested,
        "started_by": rotation.requested_by_name,
        "looked_at": rotation.tried,
        "next_look": rotation.due if rotation.is_open else None,
        "verified": rotation.verified,
        "ended": rotation.ended,
    }


def in_full(rotation: Rotation) -> dict[str, object]:
    """Return a rotation with its waves, and with what keeps the old secret from being deleted."""
    return as_dict(rotation) | {
        "verbs": [each.name for each in offered(rotation)],
        "waves": [
            {
                "kind": line.wave.kind,
                "label": line.wave.label,
                "rollout": line.wave.rollout.number,
                "state": line.progress.state,
                "shown_state": line.progress.shown_state,
                "states": line.progress.counts,
            }
            for line in reading.wave_lines(rotation)
        ],
        "missing": [
            {"instance": each.instance, "container": each.container, "code": each.missing.value}
            for each in reading.in_the_way(rotation).first()
        ],
    }


def _start(account: TechnicalAccount, options: dict[str, Any]) -> Rotation:
    actor = operator()
    numbers = (options["organization_number"] or "", options["credential_number"] or "")
    number = options["secret_version"]
    version = account.secrets.filter(version=number).first() if number else None
    if number and version is None:
        raise wrong_call(_("%(account)s has no version %(number)s.") % {"account": account, "number": number})
    return start(
        account=account,
        actor=actor,
        way=options["way"] or "",
        version=version,
        canary=_installation(account, options["canary"]) if options["canary"] else None,
        wave_rule=options["waves"],
        stop_rule=options["stop"] or services.USUAL_STOP,
        is_leak=options["leak"],
        is_migration_closed=options["migration_closed"],
        message=options["message"],
        numbers=numbers if any(numbers) else None,
    )


def _last(account: TechnicalAccount) -> Rotation:
    """Return the open rotation of an account, or else the last one."""
    rows = Rotation.objects.select_related("account", "old", "new", "canary").filter(account=account)
    found = rows.open().first() or rows.first()
    if found is None:
        raise CommandError(_("%s was never rotated: `rotate start` does that.") % account)
    return found


@sensitive_variables()
def _value(name: str, rotation: Rotation, options: dict[str, Any]) -> Any:  # Any: what each verb takes
    """Return what a verb is told under a name, from the options of the command."""
    if name == "plaintext":
        return _secret(options)
    if name == "canary":
        return _installation(rotation.account, options["canary"] or "")
    if name == "stop_rule":
        return options["stop"] or ""
    if name == "used":
        return _used(options["used"])
    if name == "shown":
        return [each.passable for each in reading.in_the_way(rotation).first(services.MOST_PASSED)]
    if name == "gate":
        return options["gate"] or str(services.gate_of(rotation) or "")
    return options["reason"]


def _used(text: str | None) -> datetime | None:
    if not text:
        raise wrong_call(_("Say with --used when the old secret was used last, or never."))
    if text == "never":
        return None
    try:
        return parse_moment(text)
    except ValidationError as error:
        raise wrong_call(labelled(text, " ".join(error.messages))) from None


def _installation(account: TechnicalAccount, text: str) -> Installation:
    """Return an installation as people write it: `instance@container`."""
    instance, _at, container = text.partition("@")
    rows = moving.installations(account).select_related("instance", "container")
    found = rows.filter(instance__name=instance, container__name=container).first()
    if found is None:
        known = [f"{row.instance}@{row.container}" for row in rows]
        raise wrong_call(
            _("%(account)s has no installation %(name)s.%(near)s")
            % {
                "account": account,
                "name": text or _("(none was named)"),
                "near": did_you_mean(text, known),
            }
        )
    return found


@sensitive_variables()
def _secret(options: dict[str, Any]) -> Secret:
    if not options["secret_file"]:
        raise wrong_call(_("Give the secret with --secret-file FILE, or - for standard input."))
    checked = values.check(CLIENT_SECRET, decode(read_input(options["secret_file"], most=MAX_BYTES + 1)))
    if checked.problem:
        raise CommandError(str(checked.problem))
    if checked.cautions and not options["accept_unusual"]:
        text = " ".join(str(each.message) for each in checked.cautions)
        raise CommandError(_("%s If it is right, add --accept-unusual.") % text)
    return Secret(checked.value)


def _wait(rotation: Rotation, seconds: float, tell: Any) -> Rotation:  # Any: a stream's `write`
    """Wait until it has ended or a person is needed, and tell what changes meanwhile."""
    end, told = time.monotonic() + seconds, ""
    while True:
        rotation = Rotation.objects.select_related("account", "old", "new").get(pk=rotation.pk)
        now = f"{rotation.state}, {rotation.wait}"
        if now != told:
            tell(now)
            told = now
        is_over = not rotation.is_open or (rotation.tried and rotation.needs_person)
        if is_over or time.monotonic() > end:
            return rotation
        time.sleep(PAUSE)
