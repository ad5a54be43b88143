"""The runbook of an installation that the portal cannot reach: the exact commands, without the secret."""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from django.conf import settings
from django.utils.translation import gettext as _

from credentials.models import ClientSecret
from instances.models import Container, Installation

SCRIPT_NAME = "read-back.sh"


@dataclass(frozen=True)
class Step:
    """One step of a runbook: what it is, what to heed, and the commands, one on each line."""

    title: str
    text: str = ""
    commands: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        """The commands as they are typed, one on each line."""
        return "\n".join(self.commands)


def steps(installation: Installation, version: ClientSecret) -> list[Step]:
    """Return what a person does there to set a version, from becoming neolane to the read-back."""
    return list(_steps(installation, version))


def read_back_command(installation: Installation) -> str:
    """Return the command that runs the read-back script, which is in the folder where it is typed."""
    words = (installation.instance.name, installation.container.name, installation.container.install_root)
    return f"sh {SCRIPT_NAME} {' '.join(map(quote, words))}"


def _steps(installation: Installation, version: ClientSecret) -> Iterator[Step]:
    instance, user = installation.instance, settings.CAMPAIGN_USER
    yield Step(
        _("Switch to the user %s on the container") % user,
        _("No other user may run nlserver: another user leaves files behind that %s cannot write.") % user,
        (_become(installation.container, user), "bash --norc"),
    )
    yield Step(
        _("Load Campaign's environment"),
        _("The second line reads env.sh, without which nlserver does not find its libraries."),
        (
            f"base=$(ls -d {quote(installation.container.install_root)}/nl[67] | tail -n 1)",
            '. "$base/env.sh"',
        ),
    )
    yield Step(
        _("See what is there"),
        _(
            "Run the read-back script in the folder it was copied to. If nobody has reported this "
            "installation yet, report this block first, and choose “Nothing was set: someone only looked”. "
            "Then the portal sees that the next one differs."
        ),
        (read_back_command(installation),),
    )
    yield Step(
        _("Enter the secret"),
        _(
            "Type or paste the client secret when asked for it. It is not shown, and is not kept in any "
            "shell history or file. The number of characters is printed: 36 is usual."
        ),
        (
            "set +axv",
            "IFS= read -rsp 'Client secret: ' secret",
            "printf '\\n%s characters\\n' \"${#secret}\"",
        ),
    )
    yield Step(
        _("Set the account"),
        _(
            "Never leave out -instance: without it nlserver writes to its template. A line with >>> in the "
            "output is an error, whatever else it says."
        ),
        (_configure(instance.name, version), "unset secret"),
    )
    yield Step(_("Make it take effect"), "", ('"$base/bin/nlserver" config -reload',))
    if instance.uses_triggers:
        yield Step(
            _("Restart pipelined"),
            _("This instance uses Adobe Triggers: pipelined reads the account only when it starts."),
            (f'"$base/bin/nlserver" restart {quote(f"pipelined@{instance.name}")}',),
        )
    yield Step(
        _("Read back"),
        _("Report this block: all of it, from READ-BACK 1 BEGIN to READ-BACK 1 END. It holds no secret."),
        (read_back_command(installation), "exit"),
    )


def _become(container: Container, user: str) -> str:
    if container.become == Container.Become.SU:
        return f"su - {quote(user)}"
    return f"sudo -i -u {quote(user)}"


def _configure(instance: str, version: ClientSecret) -> str:
    account = version.account
    values = f"{account.organization_id}/{version.client_id}/{account.technical_account_id}"
    # in double quotes, for the variable: the values have nothing that means anything there
    return f'"$base/bin/nlserver" config {quote(f"-instance:{instance}")} "-setimsoauth:{values}/$secret"'
