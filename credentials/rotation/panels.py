"""What the page of an account shows of its rotation policy."""

from django.http import HttpRequest

from credentials.models import TechnicalAccount
from credentials.rotation.due import standing_of
from credentials.rotation.models import PassedGate, Policy, PolicyKind, Rotation, Weekday
from credentials.rotation.plans import stop_in_words, waves_in_words
from credentials.rotation.services import is_in_use
from portal.audit import labels
from portal.web.panels import Panel, panel

labels.page_of("rotation", "rotation", Rotation.objects, permission="rotation.view_rotation")
labels.name_values("state", Rotation.State.choices)
labels.name_values("kind", PolicyKind.choices)
labels.name_values("policy", PolicyKind.choices)
labels.name_values("way", Rotation.Way.choices)
labels.name_values("gate", PassedGate.Gate.choices)
labels.name_values("weekdays", Weekday.choices)
labels.say_values(waves_in_words, "waves")
labels.say_values(stop_in_words, "stop", "rule")


@panel("account.about", order=10)
def policy_of_account(account: TechnicalAccount, request: HttpRequest) -> Panel | None:
    """Say how often the secret is to be replaced, and when it is due."""
    if not is_in_use(account) or not request.user.has_perm("rotation.view_rotation"):
        return None
    policy = Policy.objects.select_related("account__goal", "set_by").filter(account=account).first()
    context = {"policy": policy, "standing": standing_of(policy) if policy else None}
    return Panel("rotation/_policy_of_account.html", context)
