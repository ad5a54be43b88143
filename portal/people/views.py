"""Sign-in, the pages of users, and everybody's own password."""

from datetime import datetime, timedelta
from math import ceil
from typing import cast

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import get_language_from_request, override
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portal.audit.labels import lines_of
from portal.audit.models import AuditEvent
from portal.audit.services import record_reading
from portal.audit.trail import Actor
from portal.no_secrets import without_secret
from portal.people import own_password
from portal.people.exports import ORDERS
from portal.people.forms import DayForm, PersonForm, PreferencesForm, RoleForm, SignInForm
from portal.people.models import Preferences
from portal.people.on_a_day import on_a_day
from portal.people.proxy import proxy_signs
from portal.people.services import (
    PersonError,
    change_role,
    create_user,
    deactivate,
    reactivate,
    role_of,
    set_password,
)
from portal.people.signing_in import devices, turns
from portal.people.signing_in.lock_out import Counter, Origin, locked_until, name_hash
from portal.people.signing_in.locks import current_locks, lift
from portal.permissions import permission_required
from portal.web.lists import page_of
from portal.web.times import exact

BUSY_SECONDS = 5
PAGE = 50
MOST_OTHERS = 50
"""Those who acted on a day and are no users: the portal, and operating system's users at its command line."""


class SignIn(LoginView):
    """Django's page, which also says until when there is a lock, and that too many sign in just now."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: str, **kwargs: str) -> HttpResponse:
        try:
            return super().post(request, *args, **kwargs)
        except turns.Busy:
            name = without_secret(request.POST.get("username", ""))[:150]
            form = SignInForm(request, initial={"username": name})
            context = self.get_context_data(form=form, is_busy=True)
            return self.render_to_response(context, status=503, headers={"Retry-After": str(BUSY_SECONDS)})

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        devices.remember(self.request, response, name_hash(form.get_user().get_username()))
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        name = form.cleaned_data.get("username", "")
        until = locked_until(Counter(name, Origin.of(self.request, name)))
        if until:
            return locked_page(self.request, "registration/locked.html", until)
        return super().form_invalid(form)


def locked_page(request: HttpRequest, template: str, until: datetime) -> HttpResponse:
    """Say until when there is a lock, in a page and in a header."""
    seconds = max(1, ceil((until - timezone.now()).total_seconds()))
    return _after(seconds, render(request, template, {"until": until}, status=429))


def _after(seconds: int, response: HttpResponse) -> HttpResponse:
    response["Retry-After"] = str(seconds)
    return response


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Let everybody choose how pages are shown to them."""
    person = cast("User", request.user)  # a stranger was sent to the sign-in page
    chosen = getattr(person, "preferences", None) or Preferences(user=person)
    form = PreferencesForm(request.POST or None, instance=chosen)
    if request.method == "POST" and form.is_valid():
        language = form.save().language or get_language_from_request(request)
        with override(language):  # the one that was just chosen
            messages.success(request, _("Your preferences were saved."))
        return redirect("preferences")
    return render(request, "people/preferences.html", {"form": form})


@require_GET
@permission_required("auth.change_user", raise_exception=True)
def user_list(request: HttpRequest) -> HttpResponse:
    """List everybody, those who can sign in first."""
    order = ORDERS.of(request.GET)
    people = User.objects.prefetch_related("groups").order_by(*order.fields)
    page = page_of(people, request.GET, PAGE)
    rows = [(person, role_of(person)) for person in page]
    context = {
        "order": order,
        "page_obj": page,
        "rows": rows,
        "lock_count": len(current_locks()),
        "proxy_signs": proxy_signs(),
    }
    return render(request, "people/user_list.html", context)


@require_GET
@permission_required("audit.view_all_events", raise_exception=True)
def history_people(request: HttpRequest) -> HttpResponse:
    """Show who could act on a day, and who did, from the history."""
    form = DayForm({"on": request.GET.get("on") or timezone.localdate().isoformat()})
    if not form.is_valid():
        is_to_come = form.has_error("on", "to_come")
        return render(request, "people/on_a_day.html", {"form": form, "is_to_come": is_to_come})
    day = form.cleaned_data["on"]
    record_reading(filters={"people_on": day.isoformat()}, actor=Actor.of(request))
    found = on_a_day(day)
    context = {
        "form": form,
        "found": found,
        "zone": timezone.get_current_timezone_name(),
        "start": exact(found.start),
        "end": exact(found.end),
        "page_obj": Paginator(found.people, 100).get_page(request.GET.get("page")),
        "rows": sum(len(each.standings) or 1 for each in (*found.people, *found.others)),
        "others": found.others[:MOST_OTHERS],
        "more_others": max(0, len(found.others) - MOST_OTHERS),
        "before": day - timedelta(days=1),
        "after": day + timedelta(days=1) if found.is_over else None,
    }
    return render(request, "people/on_a_day.html", context)


@require_GET
@permission_required("auth.change_user", raise_exception=True)
def lock_list(request: HttpRequest) -> HttpResponse:
    """List who and what is locked after wrong passwords."""
    context = {"locks": current_locks(), "proxy_signs": proxy_signs()}
    return render(request, "people/lock_list.html", context)


@require_POST
@permission_required("auth.change_user", raise_exception=True)
def lock_lift(request: HttpRequest) -> HttpResponse:
    """Lift one lock."""
    if lift(request.POST.get("lock", "")[:100], actor=Actor.of(request)):
        messages.success(request, _("The lock is lifted."))
    else:
        messages.info(request, _("That lock no longer exists."))
    return redirect("locks")


@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "POST"])
@permission_required("auth.change_user", raise_exception=True)
def user_add(request: HttpRequest) -> HttpResponse:
    """Create a person with a role and a first password."""
    form = PersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = create_user(
            name=form.cleaned_data["username"],
            password=form.cleaned_data["password1"],
            role=form.cleaned_data["role"],
            actor=Actor.of(request),
        )
        messages.success(request, _("%(name)s can sign in now.") % {"name": user.username})
        return redirect("user", user.pk)
    return render(request, "people/user_add.html", {"form": form})


@require_GET
@permission_required("auth.change_user", raise_exception=True)
def user_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a person, with the forms that change them."""
    person = _person(pk)
    return _detail(request, person, RoleForm(initial={"role": role_of(person)}))


@require_POST
@permission_required("auth.change_user", raise_exception=True)
def user_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a person another role."""
    person = _person(pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _detail(request, person, form)
    try:
        changed = change_role(user=person, role=form.cleaned_data["role"], actor=Actor.of(request))
    except PersonError as error:
        form.add_error("role", str(error))
        return _detail(request, person, form)
    if changed:
        messages.success(request, _("The role was changed. It applies from the person's next click."))
    return redirect("user", pk)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required("auth.change_user", raise_exception=True)
def user_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Set a new password for a person who lost theirs."""
    person = _person(pk)
    form = SetPasswordForm(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        set_password(user=person, password=form.cleaned_data["new_password1"], actor=Actor.of(request))
        messages.success(request, _("The password was set, and the person's sessions ended."))
        return redirect("user", pk)
    return render(request, "people/user_password.html", {"form": form, "person": person})


@require_POST
@permission_required("auth.change_user", raise_exception=True)
def user_deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Lock a person out at once."""
    try:
        deactivate(user=_person(pk), actor=Actor.of(request))
    except PersonError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The person cannot sign in any more, and their sessions ended."))
    return redirect("user", pk)


@require_POST
@permission_required("auth.change_user", raise_exception=True)
def user_reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a person in again."""
    reactivate(user=_person(pk), actor=Actor.of(request))
    messages.success(request, _("The person can sign in again."))
    return redirect("user", pk)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def password_change(request: HttpRequest) -> HttpResponse:
    """Change one's own password: every signed-in person may, so this page asks for no permission."""
    person = User.objects.get(username=request.user.get_username())
    if until := own_password.locked(person):
        return locked_page(request, "people/password_locked.html", until)
    form = PasswordChangeForm(person, request.POST or None)
    if request.method == "POST":
        try:
            with turns.known.turn():
                is_valid = _is_right(form, person, Actor.of(request))
        except turns.Busy:
            context = {"form": PasswordChangeForm(person), "is_busy": True}
            return _after(BUSY_SECONDS, render(request, "people/password_change.html", context, status=503))
        if is_valid:
            set_password(user=person, password=form.cleaned_data["new_password1"], actor=Actor.of(request))
            update_session_auth_hash(request, person)
            messages.success(request, _("Your password was changed. Your other sessions ended."))
            return redirect("password_change")
        if until := own_password.locked(person):
            return locked_page(request, "people/password_locked.html", until)
    return render(request, "people/password_change.html", {"form": form})


def _is_right(form: PasswordChangeForm, person: User, actor: Actor) -> bool:
    """Whether the form is valid; a wrong password counts, a weak new one does not."""
    if own_password.locked(person):
        return False  # others failed while this request waited for its turn
    is_valid = form.is_valid()
    if form.has_error("old_password", "password_incorrect"):
        own_password.failed(person, actor)
    elif not form.has_error("old_password"):
        own_password.succeeded(person)
    return is_valid


def _person(pk: int) -> User:
    return get_object_or_404(User.objects.prefetch_related("groups"), pk=pk)


def _detail(request: HttpRequest, person: User, form: RoleForm) -> HttpResponse:
    about = AuditEvent.objects.filter(target_type="user", target_id=str(person.pk))
    changes = lines_of(list(about.filter(action__startswith="user.")[:20]))
    context = {
        "person": person,
        "role": role_of(person),
        "form": form,
        "changes": changes,
        "locks": current_locks(person),
    }
    return render(request, "people/user_detail.html", context)
