"""`retire`: takes an instance, a container or an installation out of use for good, or takes it back."""

from argparse import ArgumentParser
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.inventory import retiring
from instances.inventory.retiring import Retirement, RetiringError, Row
from instances.models import Container, Installation, Instance
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, moment, named, wrong_call
from portal.no_secrets import Command as SafeCommand

KINDS = ("container", "instance", "installation")


class Command(SafeCommand):
    help = gettext_lazy(
        "Retire a container, an instance, or one installation (INSTANCE CONTAINER): its history stays, every "
        "count and rollout leaves it out, and pushes that wait there are cancelled. With --take-back it is "
        "in use again. What is so already stays as it is."
    )

    group = "Inventory"
    summary = gettext_lazy("Take a container, instance or installation out of use for good, or back")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("names", nargs="+", metavar="NAME", help=_("its name; INSTANCE CONTAINER of one"))
        parser.add_argument("--reason", required=True, help=_("why; shown to everybody, kept in the history"))
        parser.add_argument("--take-back", action="store_true", help=_("end its retirement"))
        add_json(parser)

    def handle(
        self,
        *args: str,
        kind: str,
        names: Sequence[str],
        reason: str,
        take_back: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        row = _row(kind, names)
        try:
            reason = retiring.clean_reason(reason)
            act = retiring.take_back if take_back else retiring.retire
            done = act(row=row, reason=reason, actor=operator())
        except ValidationError as error:
            raise wrong_call(f"--reason: {' '.join(error.messages)}") from None
        except RetiringError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(as_json(_facts(kind, done)) if json else _text(done, is_back=take_back))


def _row(kind: str, names: Sequence[str]) -> Row:
    if len(names) != (2 if kind == "installation" else 1):
        raise wrong_call(
            _("Name one container or instance, or an installation by its INSTANCE and CONTAINER.")
        )
    if kind == "container":
        return named(Container.objects.all(), names[0], _("There is no container %s."))
    instance = named(Instance.objects.all(), names[0], _("There is no instance %s."))
    if kind == "instance":
        return instance
    container = named(Container.objects.all(), names[1], _("There is no container %s."))
    found = Installation.objects.filter(instance=instance, container=container)
    if row := found.select_related("instance", "container").first():
        return row
    raise wrong_call(
        _("%(instance)s is not listed on %(container)s.") % {"instance": instance, "container": container}
    )


def _facts(kind: str, done: Retirement) -> dict[str, object]:
    counts = {"cancelled": 0, "given_up": 0, "readings": 0} | dict(done.counts)
    return {
        "kind": kind,
        "name": str(done.row),
        "changed": done.is_new,
        "retired": done.row.retired,
        "retired_by": done.row.retired_by or None,
        "reason": done.row.retired_reason or None,
        "installations": done.installations,
        **counts,
    }


def _text(done: Retirement, *, is_back: bool) -> str:
    row = done.row
    if not done.is_new and row.retired:
        return _("%(row)s was retired on %(moment)s by %(retired_by)s: %(retired_reason)s") % {
            "row": row.label,
            "moment": moment(row.retired),
            "retired_by": row.retired_by,
            "retired_reason": row.retired_reason,
        }
    if not done.is_new:
        return _("%s is in use.") % row.label
    if is_back:
        return _("%(row)s is in use again; installations that count again: %(installations)s.") % {
            "row": row.label,
            "installations": done.installations,
        }
    ended = {"cancelled": _("Pushes cancelled: %s."), "given_up": _("Unknown pushes ended as failed: %s.")}
    lines = [
        _("%(row)s is retired; installations left out: %(installations)s.")
        % {"row": row.label, "installations": done.installations}
    ]
    lines += [words % done.counts[name] for name, words in ended.items() if done.counts.get(name)]
    return "\n".join(lines)
