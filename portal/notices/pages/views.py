"""Who is told what, and what became of each message. Only asks: the scheduler sends."""

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portal.audit.trail import Actor
from portal.notices import channels
from portal.notices.addresses import shown
from portal.notices.channels import ChannelError
from portal.notices.kinds import kind_of
from portal.notices.letters import letter_of
from portal.notices.models import Channel, Message
from portal.notices.pages.forms import ChannelForm
from portal.notices.sending import mail_is_on
from portal.notices.signing import signing_key
from portal.permissions import permission_required

PERMISSION = "notices.manage_notices"
PER_PAGE = 25


@require_GET
@permission_required(PERMISSION, raise_exception=True)
def notices(request: HttpRequest) -> HttpResponse:
    """List the channels, and the messages, newest first; htmx asks for these alone while one is queued."""
    rows = [(each, shown(each), _wanted(each)) for each in Channel.objects.all()]
    page = Paginator(Message.objects.select_related("channel"), PER_PAGE).get_page(request.GET.get("page"))
    lines = [(each, kind_of(each.kind).label, letter_of(each).subject) for each in page]
    is_mail_missing = not mail_is_on() and any(each.way == Channel.Way.MAIL for each, *_ in rows)
    context = {
        "rows": rows,
        "page_obj": page,
        "lines": lines,
        "mail_is_on": mail_is_on(),
        "is_mail_missing": is_mail_missing,
        "is_under_way": any(each.state == Message.State.QUEUED for each in page),
    }
    is_part = request.headers.get("HX-Request") == "true"
    return render(request, f"notices/{'_messages' if is_part else 'notices'}.html", context)


def _wanted(channel: Channel) -> list[str]:
    """Return the labels of the kinds that a channel gets; none: everything."""
    return [] if channel.wants_all else [str(kind_of(code).label) for code in channel.kinds]


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def channel_add(request: HttpRequest) -> HttpResponse:
    """Add a channel; the signing key of a webhook is shown once, in the answer."""
    form = ChannelForm(request.POST if request.method == "POST" else None)
    if _is_saved(request, form):
        channel = form.instance
        return _key_page(request, channel) if channel.way == Channel.Way.WEBHOOK else redirect("notices")
    return render(request, "notices/channel_form.html", {"form": form, "mail_is_on": mail_is_on()})


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def channel_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Edit a channel, or switch it on or off."""
    channel = get_object_or_404(Channel, pk=pk)
    name, was = channel.name, channel.way  # the form writes into the channel
    form = ChannelForm(request.POST if request.method == "POST" else None, instance=channel)
    if _is_saved(request, form):
        is_new_webhook = channel.way == Channel.Way.WEBHOOK != was
        return _key_page(request, channel) if is_new_webhook else redirect("notices")
    context = {"form": form, "channel": channel, "name": name, "has_key": was == Channel.Way.WEBHOOK}
    return render(request, "notices/channel_form.html", context | {"mail_is_on": mail_is_on()})


def _is_saved(request: HttpRequest, form: ChannelForm) -> bool:
    if request.method != "POST" or not form.is_valid():
        return False
    try:
        channel = channels.save_channel(form.save(commit=False), actor=Actor.of(request))
    except ChannelError as error:
        form.add_error("name", str(error))
        return False
    messages.success(request, _("%s was saved.") % channel)
    return True


def _key_page(request: HttpRequest, channel: Channel) -> HttpResponse:
    return render(request, "notices/signing_key.html", {"channel": channel, "key": signing_key(channel)})


@require_POST
@permission_required(PERMISSION, raise_exception=True)
def channel_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make a new signing key and show it, once."""
    channel = get_object_or_404(Channel, pk=pk)
    after = request.POST.get("after", "")
    try:
        row = channels.make_new_key(channel, after=after, actor=Actor.of(request))
        return _key_page(request, row)
    except ChannelError as error:
        messages.error(request, str(error))
    return redirect("notice_channel", pk)


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def channel_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove a channel, after a question."""
    channel = get_object_or_404(Channel, pk=pk)
    if request.method == "POST":
        channels.remove_channel(channel, actor=Actor.of(request))
        messages.success(request, _("%s was removed.") % channel)
        return redirect("notices")
    waiting = Message.objects.waiting().filter(channel=channel).count()
    return render(request, "notices/channel_remove.html", {"channel": channel, "waiting": waiting})


@require_POST
@permission_required(PERMISSION, raise_exception=True)
def channel_test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue a test message."""
    try:
        channels.ask_test(get_object_or_404(Channel, pk=pk), actor=Actor.of(request))
    except ChannelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("A test message is on its way; its outcome appears below."))
    return redirect("notices")


@require_GET
@permission_required(PERMISSION, raise_exception=True)
def message_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a message as it is sent, and what became of it."""
    message = get_object_or_404(Message.objects.select_related("channel"), pk=pk)
    context = {"message": message, "letter": letter_of(message), "label": kind_of(message.kind).label}
    return render(request, "notices/message.html", context)


@require_POST
@permission_required(PERMISSION, raise_exception=True)
def message_resend(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue a message once more."""
    try:
        channels.send_again(get_object_or_404(Message, pk=pk), actor=Actor.of(request))
    except ChannelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The message is queued again."))
    return redirect("notices")
