"""Entering the values of an account: judged first, then stored at once, with the secret encrypted.

Nothing here keeps a plaintext longer than one call, and no error or doubt quotes a value. What is unusual is
stored all the same and named as a doubt: a person confirms it later, without entering the secret again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.adobe.console_json import ConsoleValues
from credentials.keys.keyring import fingerprints
from credentials.models import ClientSecret, TechnicalAccount
from credentials.services import AccountError, add_secret
from credentials.taken import client_id_taken, name_taken
from credentials.values import CLIENT_SECRET, COMMAND_ORDER, Checked, CheckedValues
from portal.audit.trail import Actor, record
from portal.plaintext import Secret, may_hold_secret

IDS = tuple(name for name in COMMAND_ORDER if name != CLIENT_SECRET)
REARRANGED = "rearranged"
_LONGEST = {
    "technical_account_email": 254,
    "numeric_organization_id": 40,
    "credential_id": 80,
    "project": 120,
    "scopes": 1000,
}
"""Characters of the account's columns."""
_CUT = ("project", "scopes")
"""Still useful when they are cut to fit; half an address or id is not kept."""
_PUT_RIGHT = _(
    "The values were in the wrong fields. The portal recognized each by its format and moved it to the right "
    "field. Compare the identifiers with the console."
)


@dataclass(frozen=True)
class Doubt:
    """Something unusual about an entry that a person must confirm before it is used."""

    field: str
    """The value's field, or empty for the entry as a whole."""
    code: str
    """What is stored of it; the words are made when it is shown."""

    @property
    def message(self) -> Promise:
        """The doubt in words, with what to do."""
        return values.caution_in_words(self.field, self.code) if self.field in values.LABELS else _PUT_RIGHT


@dataclass(frozen=True, eq=False)
class AccountEntry:
    """Accepted values. `secret` is None where the stored one is kept."""

    ids: Mapping[str, str]
    secret: Secret | None
    doubts: tuple[Doubt, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    """Further fields of the account that a console file fills."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found about raw values: an entry, or the problems that prevent one."""

    entry: AccountEntry | None = None
    problems: Mapping[str, Promise] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    """Fields whose text may be a secret: never shown again."""
    stripped: tuple[str, ...] = ()
    """Fields around whose value blanks were removed."""


@sensitive_variables()
def judge(raw: Mapping[str, str], *, keeps_secret: bool = False) -> Judged:
    """Judge the four raw values; with `keeps_secret` an empty client secret means the stored one."""
    checked = values.check_all(raw)
    rearranged = values.check_all(checked.suggestion) if checked.suggestion else None
    if rearranged and rearranged.is_accepted:
        entry = _entry(rearranged, (Doubt("", REARRANGED),))
        return Judged(entry=entry, hidden=_hidden(checked))
    problems = {
        name: found.problem
        for name, found in checked.fields.items()
        if found.problem and not (keeps_secret and name == CLIENT_SECRET and found.code == "empty")
    }
    return Judged(
        entry=None if problems else _entry(checked),
        problems=problems,
        hidden=_hidden(checked),
        stripped=tuple(name for name, found in checked.fields.items() if found.stripped and found.value),
    )


@sensitive_variables()
def _entry(checked: CheckedValues, doubts: tuple[Doubt, ...] = ()) -> AccountEntry:
    secret = checked.fields[CLIENT_SECRET]
    unusual = [
        Doubt(name, caution.code)
        for name, caution in checked.cautions
        if name != CLIENT_SECRET or secret.value
    ]
    return AccountEntry(
        ids={name: checked.fields[name].value for name in IDS},
        secret=Secret(secret.value) if secret.value else None,
        doubts=(*doubts, *unusual),
    )


@sensitive_variables()
def _hidden(checked: CheckedValues) -> frozenset[str]:
    """Return the fields whose text may hold the secret, as far as its form or its neighbours tell."""
    secret_is_elsewhere = bool(checked.fields[CLIENT_SECRET].belongs_to)
    return frozenset(
        name
        for name, found in checked.fields.items()
        if name == CLIENT_SECRET
        or found.holds_secret
        or (not values.shape_of(found.value) and (secret_is_elsewhere or _looks_random(found)))
    )


def _looks_random(found: Checked) -> bool:
    text = found.value.partition("@")[0]
    kinds = (any(map(str.isupper, text)), any(map(str.islower, text)), any(map(str.isdigit, text)))
    return len(text) >= 20 and all(kinds)


@sensitive_variables()
def judge_console(found: ConsoleValues, *, account: TechnicalAccount) -> Judged:
    """Judge the values of a console file. Of several secrets the one new to the portal is taken.

    The file does not say which of several unknown secrets is the newest: then the entry has none, and the
    person enters it.
    """
    secret = new_secret(found, account=account)
    raw = {name: str(getattr(found, name)) for name in IDS}
    judged = judge(raw | {CLIENT_SECRET: secret.reveal() if secret else ""}, keeps_secret=secret is None)
    if judged.entry is None:
        return judged
    # looked at before it is cut: half a secret has no shape
    safe = {name: text for name, text in _extras(found) if text and not may_hold_secret(text)}
    known = {
        name: text[: _LONGEST[name]]
        for name, text in safe.items()
        if name in _CUT or len(text) <= _LONGEST[name]
    }
    return replace(judged, entry=replace(judged.entry, extras=known))


def _extras(found: ConsoleValues) -> Iterator[tuple[str, str]]:
    yield "technical_account_email", found.technical_account_email
    yield "numeric_organization_id", found.numeric_org_id
    yield "credential_id", found.credential_id
    yield "project", found.project
    yield "scopes", ",".join(found.scopes)


@sensitive_variables()
def new_secret(found: ConsoleValues, *, account: TechnicalAccount) -> Secret | None:
    """Return the file's only secret, or the only one that is not stored yet; None if that does not tell."""
    if len(found.client_secrets) == 1:
        return found.client_secrets[0]
    stored = set(account.secrets.values_list("fingerprint", flat=True))
    unknown = [
        each for each in found.client_secrets if stored.isdisjoint(fingerprints(each, found.client_id))
    ]
    return unknown[0] if len(unknown) == 1 else None


@sensitive_variables()
def entered_before(plaintext: Secret, *, account: TechnicalAccount) -> ClientSecret | None:
    """Return the older version that a secret is, by any fingerprint key; None for the newest one or none."""
    names = fingerprints(plaintext, account.client_id)
    known = account.secrets.filter(fingerprint__in=names).first()
    return known if known and known != account.newest_version else None


def usable_secret(account: TechnicalAccount) -> ClientSecret | None:
    """Return the account's newest usable version, if it was entered for its present client id, else None."""
    version = account.newest_version
    return version if version and is_usable(version, account) else None


def is_usable(version: ClientSecret, account: TechnicalAccount) -> bool:
    """Whether a version of this account can be rolled out: usable, and entered for its present client id."""
    return version.state == ClientSecret.State.USABLE and version.client_id == account.client_id


@transaction.atomic
def create_account(*, name: str, way: str, actor: Actor) -> TechnicalAccount:
    """Make an account in state draft; `Taken` says who has the name already."""
    if taken := name_taken(name, actor):
        raise taken
    account = TechnicalAccount(name=name, way=way, created_by=actor.user)
    try:
        with transaction.atomic():
            account.save(force_insert=True)
    except IntegrityError:
        raise name_taken(name, actor) or AccountError(_("Another account has this name.")) from None
    record("account.created", actor=actor, target=account, details={"way": way})
    return account


@transaction.atomic
def rename(*, account: TechnicalAccount, name: str, actor: Actor) -> None:
    """Give a draft another name; `Taken` says who has it already."""
    if account.state != TechnicalAccount.State.DRAFT:
        raise AccountError(_("The name of an account in use cannot be changed: the history refers to it."))
    taken = name_taken(name, actor)
    if taken and taken.account.pk != account.pk:
        raise taken
    former, account.name = account.name, name
    if former == name:
        return
    try:
        with transaction.atomic():
            account.save(update_fields=["name"])
    except IntegrityError:
        raise name_taken(name, actor) or AccountError(_("Another account has this name.")) from None
    record("account.renamed", actor=actor, target=account, details={"before": former, "after": name})


@sensitive_variables()
@transaction.atomic
def set_values(*, account: TechnicalAccount, entry: AccountEntry, actor: Actor) -> ClientSecret | None:
    """Store the values of a draft, and its secret as a new version; return the secret that is usable now.

    `Taken` if another draft or account in use has the client id: pushes of both would undo each other.
    """
    if account.state != TechnicalAccount.State.DRAFT:
        raise AccountError(_("The identifiers of an account in use cannot be changed: create a new account."))
    former = {name: getattr(account, name) for name in IDS}
    changed = {**entry.extras, **entry.ids}
    for name, text in changed.items():
        setattr(account, name, text)
    try:
        with transaction.atomic():
            account.save(update_fields=list(changed))
    except IntegrityError:
        raise client_id_taken(account.client_id, actor) or AccountError(
            _("Another account has this Client ID.")
        ) from None
    if entry.secret:
        add_secret(account=account, plaintext=entry.secret, actor=actor)
    if former != dict(entry.ids):
        record(
            "account.values_entered",
            actor=actor,
            target=account,
            details={"before": former, "after": dict(entry.ids)},
        )
    return usable_secret(account)
