"""What a rollout is going to run, for people: the exact command per instance, with the secret hidden."""

from dataclasses import dataclass

from credentials.models import TechnicalAccount
from credentials.wizard.choices import Choice, Selection
from instances.nlserver import Account, review_command


@dataclass(frozen=True)
class Command:
    """The command that runs on each chosen container of one instance."""

    choice: Choice
    text: str


def commands(account: TechnicalAccount, selection: Selection) -> list[Command]:
    """Return one command per chosen instance."""
    values = Account(account.organization_id, account.client_id, account.technical_account_id)
    return [
        Command(choice, review_command(choice.instance.name, values)) for choice in selection.chosen_choices
    ]
