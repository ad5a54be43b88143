"""Sign-in, the pages of users, and everybody's own password."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portal.audit.models import Actor, AuditEvent
from portal.audit.words import lines_of
from portal.people.forms import PersonForm, RoleForm, SignInForm
from portal.people.lock_out import address_of, is_locked
from portal.people.services import (
    PersonError,
    change_role,
    create_user,
    deactivate,
    reactivate,
    role_of,
    set_password,
)


class SignIn(LoginView):
    """Django's page, which also says when name and address are locked."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        name = form.cleaned_data.get("username", "")
        if is_locked(name, address_of(self.request)):
            return render(self.request, "registration/locked.html", status=429)
        return super().form_invalid(form)


@require_GET
@permission_required("auth.change_user", raise_exception=True)
def user_list(request: HttpRequest) -> HttpResponse:
    """List everybody, those who can sign in first."""
    people = User.objects.prefetch_related("groups").order_by("-is_active", "username")
    page = Paginator(people, 50).get_page(request.GET.get("page"))
    rows = [(person, role_of(person)) for person in page]
    return render(request, "people/user_list.html", {"page_obj": page, "rows": rows})


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
        messages.success(request, _("The role was changed. It counts from the person's next click."))
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
    form = PasswordChangeForm(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        set_password(user=person, password=form.cleaned_data["new_password1"], actor=Actor.of(request))
        update_session_auth_hash(request, person)
        messages.success(request, _("Your password was changed. Your other sessions ended."))
        return redirect("password_change")
    return render(request, "people/password_change.html", {"form": form})


def _person(pk: int) -> User:
    return get_object_or_404(User.objects.prefetch_related("groups"), pk=pk)


def _detail(request: HttpRequest, person: User, form: RoleForm) -> HttpResponse:
    about = AuditEvent.objects.filter(target_type="user", target_id=str(person.pk))
    changes = lines_of(list(about.filter(action__startswith="user.")[:20]))
    context = {"person": person, "role": role_of(person), "form": form, "changes": changes}
    return render(request, "people/user_detail.html", context)
