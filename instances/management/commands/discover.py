"""`discover`: what was seen on containers and does not fit the inventory; applies what is named."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.discovery.dismissals import Outdated
from instances.discovery.models import Dismissal
from instances.discovery.proposal_words import advice, what
from instances.discovery.proposals import Proposal, proposals
from instances.inventory import proposed
from instances.inventory.editing import InventoryError
from instances.models import Instance
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, table
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled

HEADINGS = (
    gettext_lazy("ID"),
    gettext_lazy("WHAT"),
    gettext_lazy("CONTAINER"),
    gettext_lazy("INSTANCE"),
    gettext_lazy("PORTAL CAN DO IT"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "List what was seen on containers and does not fit the inventory, or apply what is named. Without "
        "--apply the exit code is 0 only if there is nothing that waits for a decision."
    )
    group = "Inventory"
    summary = gettext_lazy("List what readings propose to change in the inventory, or apply it")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--apply", nargs="+", metavar="ID", help=_("enter what these proposals found"))
        parser.add_argument("--left", action="store_true", help=_("list what was left as it is, too"))
        parser.add_argument(
            "--environment",
            choices=Instance.Environment.values,
            default=Instance.Environment.PRODUCTION.value,
            help=_("of instances that --apply creates (production)"),
        )
        parser.add_argument(
            "--role",
            choices=Instance.Role.values,
            default=Instance.Role.MKT.value,
            help=_("of instances that --apply creates (MKT)"),
        )
        add_json(parser)

    def handle(
        self,
        *args: str,
        apply: Sequence[str] | None,
        left: bool,
        environment: str,
        role: str,
        json: bool,
        **options: object,
    ) -> None:
        if apply:
            self._apply(list(dict.fromkeys(apply)), environment, role, json)
        else:
            self._list(left, json)

    def _apply(self, keys: Sequence[str], environment: str, role: str, json: bool) -> None:
        """Apply one after the other; what is refused does not keep the others back."""
        applied: list[dict[str, str]] = []
        refused: list[dict[str, str]] = []
        for key in keys:
            try:
                row = proposed.apply(key=key, actor=operator(), environment=environment, role=role)
            except (Outdated, InventoryError) as error:
                refused.append({"id": key, "reason": str(error)})
            else:
                applied.append({"id": key, "instance": row.instance.name, "container": row.container.name})
        if json:
            self.stdout.write(as_json({"applied": applied, "refused": refused}))
        else:
            lines = [
                _("%(instance)s is entered on %(container)s.")
                % {"instance": each["instance"], "container": each["container"]}
                for each in applied
            ]
            self.stdout.write("\n".join(lines))
            self.stderr.write("\n".join(labelled(each["id"], each["reason"]) for each in refused))
        if refused:
            sys.exit(1)

    def _list(self, with_left: bool, json: bool) -> None:
        reasons = dict(Dismissal.objects.values_list("proposal", "reason"))
        found = [each for each in proposals() if with_left or each.key not in reasons]
        if json:
            facts = [_facts(each, reasons.get(each.key)) for each in found]
            self.stdout.write(as_json({"proposals": facts}))
        elif found:
            self.stdout.write(table(HEADINGS, map(_row, found)))
        else:
            self.stdout.write(_("Nothing waits for a decision."))
        if any(each.key not in reasons for each in found):
            sys.exit(1)


def _facts(proposal: Proposal, left: str | None) -> dict[str, object]:
    return {
        "id": proposal.key,
        "kind": proposal.kind.value,
        "container": proposal.container.name if proposal.container else None,
        "instance": proposal.instance or None,
        "can_be_applied": proposal.can_be_applied,
        "what": what(proposal),
        "next_step": advice(proposal),
        "builds": list(proposal.builds),
        "reading": str(proposal.reading) if proposal.reading else None,
        "seen": proposal.at,
        "left": left,
    }


def _row(proposal: Proposal) -> tuple[object, ...]:
    container = proposal.container.name if proposal.container else "-"
    can = _("yes") if proposal.can_be_applied else _("no")
    return (proposal.key, proposal.kind.label, container, proposal.instance or "-", can)
