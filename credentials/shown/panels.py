"""What pages below show of accounts."""

from django.http import HttpRequest

from credentials.models import TechnicalAccount
from instances.models import Instance
from portal.web.panels import Panel, panel


@panel("instance.about", order=10)
def account_of_instance(instance: Instance, request: HttpRequest) -> Panel | None:
    """Name the account that an instance uses, unless Adobe sets it itself."""
    if not request.user.has_perm("credentials.view_technicalaccount") or not instance.is_pushable:
        return None
    account = TechnicalAccount.objects.filter(assignments__instance=instance).first()
    return Panel("credentials/_account_of_instance.html", {"account": account})
