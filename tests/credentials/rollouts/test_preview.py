"""A preview says what a rollout would do: refused by the same rules, failing with the code that comes."""

import json
import uuid
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts import preview_words, rules
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.outlook import SAYS_NOTHING, THERE, WAY
from credentials.rollouts.pages import previews
from credentials.rollouts.pages.previews import SHOWN, shown
from credentials.rollouts.preview import Fate, Later, Preview, Row, preview, preview_each
from credentials.rollouts.starting import RolloutError, pushed_again, repair, repaired, start_rollout
from instances.discovery.models import Reading
from instances.failures import Code
from instances.inventory.editing import save_container, save_jump_host
from instances.models import (
    TARGET,
    Container,
    ExpectedHostKey,
    HostKey,
    Installation,
    Instance,
    OtherPortal,
)
from instances.requirements import obstacle
from portal.audit.trail import record
from tests.credentials.rollouts.test_rules import Facts, allowed, fleets, loaded, make_push
from tests.factories import (
    FILE_DIGEST,
    SOMEBODY,
    finish,
    make_account,
    make_container,
    make_host_key,
    make_installation,
    make_jump_host,
    make_rollout,
)

pytestmark = pytest.mark.django_db


def preview_of(version: ClientSecret, *installations: Installation) -> Preview:
    return preview(version, list(installations) or Installation.objects.all())


def only_row(version: ClientSecret) -> Row:
    [row] = preview_of(version).rows
    return row


def fate(version: ClientSecret) -> tuple[str, str]:
    row = only_row(version)
    return row.fate, row.why


@pytest.fixture
def version() -> ClientSecret:
    """A version of an account that one installation uses: prod1 on web1, whose host key is approved."""
    make_installation()
    return make_account(instances=["prod1"])


@given(fleets)
@example_settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_preview_refuses_what_the_rules_refuse_and_nothing_else(fleet: list[Facts]) -> None:
    with transaction.atomic():
        for push in loaded([make_push(each) for each in fleet]):
            version, installation = push.rollout.secret, push.installation
            row = only_of(preview_of(version, installation))
            refused = obstacle(push, rules.STARTING)
            assert (row.fate == Fate.REFUSED, row.why if refused else "") == (bool(refused), refused)
            [left] = preview(version, [installation], leaves_out=TARGET).rows
            assert (left.fate == Fate.LEFT_OUT) == bool(obstacle(installation, TARGET))
            has_key = rules.with_key().filter(pk=push.container_id).exists()
            assert refused or (row.why == "no_host_key") == (not has_key)
            try:
                with transaction.atomic():
                    start_rollout(version=version, installations=[installation], reason="new", actor=SOMEBODY)
            except RolloutError:
                assert row.fate == Fate.REFUSED
            else:
                assert row.fate != Fate.REFUSED
        transaction.set_rollback(True)


def only_of(found: Preview) -> Row:
    [row] = found.rows
    return row


def test_what_the_start_takes_away_itself_refuses_nothing() -> None:
    version = make_push(Facts(**{**vars(allowed), "assigned": "other"})).rollout.secret
    installation = Installation.objects.get()
    assert only_of(preview(version, [installation])).why == "not_assigned"
    row = only_of(preview(version, [installation], assigns=True))
    assert (row.fate, row.also, row.account) == (
        Fate.PUSHED,
        ("replaces_account",),
        installation.instance.assignment.account.name,
    )
    TechnicalAccount.objects.update(state="draft")
    version = ClientSecret.objects.get()
    assert only_of(preview(version, [installation], assigns=True)).why == "account_not_active"
    assert only_of(preview(version, [installation], assigns=True, activates=True)).fate == Fate.PUSHED


def test_every_obstacle_and_failure_has_words_and_a_link() -> None:
    codes = [each.code for each in rules.STARTING]
    for why in (*codes, *WAY, *THERE, Code.BUILD_TOO_OLD, Code.OTHER_PORTAL, "host_key_unexpected"):
        is_refused = why in codes
        row = Row(
            installation=uuid.uuid4(),
            instance_id=uuid.uuid4(),
            instance="prod1",
            container_id=uuid.uuid4(),
            container="web1",
            fate=Fate.REFUSED if is_refused else Fate.LIKELY_FAILS,
            why=why,
        )
        [line] = shown(Preview((row,), None)).lines
        assert preview_words.reason(why) not in ("", why)
        assert line.url.startswith("/")
        assert bool(line.advice) != is_refused
        assert preview_words.reason(why) in line.text


def test_no_code_is_judged_in_two_ways() -> None:
    assert len(WAY | THERE | SAYS_NOTHING) == len(WAY) + len(THERE) + len(SAYS_NOTHING)


def test_where_all_is_well_it_is_pushed(version: ClientSecret) -> None:
    said = preview_of(version)
    assert (fate(version), said.starts, said.is_clean) == (("pushed", ""), True, True)
    assert [preview_words.headline(each, 1) for each in said.groups] == ["1 of 1 is pushed"]


def test_nothing_chosen_starts_nothing(version: ClientSecret) -> None:
    said = preview(version, Installation.objects.none())
    assert (said.total, said.starts, said.groups, said.estimate) == (0, False, [], None)


def test_without_a_host_key_it_fails_unless_one_was_given_in_advance(version: ClientSecret) -> None:
    key = HostKey.objects.get()
    HostKey.objects.update(state="offered")
    assert fate(version) == ("fails", "no_host_key")
    given = ExpectedHostKey.objects.create(
        container=key.container, fingerprint=key.fingerprint, given_by="alice"
    )
    assert fate(version) == ("pushed", "")
    HostKey.objects.update(state="revoked")  # no machine trusts it again
    assert fate(version) == ("fails", "no_host_key")
    HostKey.objects.update(state="offered")
    given.fingerprint = "SHA256:another"
    given.save()
    assert fate(version) == ("likely_fails", "host_key_unexpected")
    HostKey.objects.all().delete()
    assert fate(version) == ("pushed", "")


def test_another_key_shown_in_the_place_of_the_approved_one_is_said(version: ClientSecret) -> None:
    other = make_host_key(container=Container.objects.get(), state="offered")
    assert fate(version) == ("likely_fails", "host_key_changed")
    assert only_row(version).seen == other.seen


def fail(code: str) -> Push:
    """Let a push to the only installation fail."""
    installation = Installation.objects.get()
    version = ClientSecret.objects.order_by("-version")[0]
    rollout = start_rollout(version=version, installations=[installation], reason="new", actor=SOMEBODY)
    push = rollout.pushes.get()
    finish(push, state="failed", code=code)
    return push


def read(code: str = "", *, found: tuple[str, ...] = ("prod1",)) -> Reading:
    """Let a reading of the only container end now."""
    now = timezone.now()
    return Reading.objects.create(
        container=Container.objects.get(),
        state=Reading.State.FAILED if code else Reading.State.SUCCEEDED,
        code=code,
        asked_by="henry",
        asked=now,
        started=now,
        finished=now,
        found=dict.fromkeys(found, ""),
    )


@pytest.mark.parametrize("code", ["login_refused", "timed_out", "not_writable", "become_refused"])
def test_what_failed_last_is_likely_to_fail_again(version: ClientSecret, code: str) -> None:
    push = fail(code)
    assert fate(version) == ("likely_fails", code)
    assert only_row(version).seen == push.attempts.get().finished


@pytest.mark.parametrize("code", sorted(SAYS_NOTHING))
def test_an_end_that_says_nothing_of_the_container_takes_nothing_back(
    version: ClientSecret, code: str
) -> None:
    fail(code)
    assert fate(version) == ("pushed", "")
    fail("login_refused")
    fail(code)
    assert fate(version) == ("likely_fails", "login_refused")


def test_a_changed_key_counts_until_one_is_approved_or_given_up_for_it(version: ClientSecret) -> None:
    fail("host_key_changed")
    other = make_host_key(container=Container.objects.get(), state="revoked")  # rejected, but still shown
    assert fate(version) == ("likely_fails", "host_key_changed")
    HostKey.objects.filter(pk=other.pk).update(state="approved", approved=timezone.now())
    assert fate(version) == ("pushed", "")


def mend_by_reading() -> None:
    read()


def mend_by_pushing() -> None:
    finish(fail("timed_out"), state="succeeded")


def mend_by_editing() -> None:
    container = Container.objects.get()
    container.login = "portal"
    save_container(container=container, actor=SOMEBODY)


def mend_by_importing() -> None:
    line = {"container": "web1", "row": 2, "changes": {"port": [22, 2222]}}
    record("inventory.changed", actor=SOMEBODY, details={"changes": [line]})


@pytest.mark.parametrize("mend", [mend_by_reading, mend_by_pushing, mend_by_editing, mend_by_importing])
def test_what_was_mended_since_is_not_held_against_it(
    version: ClientSecret, mend: Callable[[], None]
) -> None:
    fail("login_refused")
    mend()
    assert fate(version) == ("pushed", "")


def test_an_edit_that_has_nothing_to_do_with_the_way_mends_nothing(version: ClientSecret) -> None:
    fail("login_refused")
    container = Container.objects.get()
    container.is_enabled = False
    save_container(container=container, actor=SOMEBODY)
    container.is_enabled = True
    save_container(container=container, actor=SOMEBODY)
    assert fate(version) == ("likely_fails", "login_refused")


def test_an_edited_jump_host_mends_what_is_behind_it(version: ClientSecret) -> None:
    host = make_jump_host()
    Container.objects.update(jump_host=host)
    fail("jump_host_unreachable")
    assert fate(version) == ("likely_fails", "jump_host_unreachable")
    host.login = "other"
    save_jump_host(jump_host=host, actor=SOMEBODY)
    assert fate(version) == ("pushed", "")


def test_a_failed_reading_counts_and_so_does_a_push_to_a_neighbour(version: ClientSecret) -> None:
    read("host_unreachable")
    assert fate(version) == ("likely_fails", "host_unreachable")
    make_installation(instance="prod2")
    other = make_account(name="Other", instances=["prod2"])
    [installation] = Installation.objects.filter(instance__name="prod2")
    rollout = start_rollout(version=other, installations=[installation], reason="new", actor=SOMEBODY)
    finish(rollout.pushes.get(), state="failed", code="login_refused")
    [row] = preview(version, Installation.objects.filter(instance__name="prod1")).rows
    assert row.why == "login_refused"
    finish(rollout.pushes.get(), state="failed", code="not_writable")  # the way is free: that is prod2's own
    [row] = preview(version, Installation.objects.filter(instance__name="prod1")).rows
    assert row.fate == Fate.PUSHED


def test_an_instance_that_was_not_found_is_named(version: ClientSecret) -> None:
    read(found=("prod2",))
    assert fate(version) == ("likely_fails", "instance_not_found")
    read()
    assert fate(version) == ("pushed", "")
    fail("instance_not_found")
    assert fate(version) == ("likely_fails", "instance_not_found")
    read()
    assert fate(version) == ("pushed", "")


def test_a_cut_off_list_of_files_says_nothing_of_the_others(version: ClientSecret) -> None:
    Reading.objects.filter(pk=read(found=("prod2",)).pk).exists()
    now = timezone.now()
    Reading.objects.create(
        container=Container.objects.get(),
        state="succeeded",
        asked_by="henry",
        asked=now,
        finished=now,
        found={"prod2": ""},
        further=3,
    )
    assert fate(version) == ("pushed", "")


def test_an_old_build_and_another_portal_are_said(version: ClientSecret) -> None:
    Installation.objects.update(observed_build=9382, observed=timezone.now())
    assert fate(version) == ("likely_fails", "build_too_old")
    row = only_row(version)
    assert "build 9382" in preview_words.in_words(row)
    assert row.seen == Installation.objects.get().observed
    other = OtherPortal.objects.create(
        installation=Installation.objects.get(), last="another", seen=timezone.now()
    )
    assert fate(version) == ("likely_fails", "other_portal")
    other.taken_over = "another"
    other.save()
    assert fate(version) == ("likely_fails", "build_too_old")


def test_what_is_held_already_superseded_and_replaced_is_counted(version: ClientSecret) -> None:
    installation = Installation.objects.get()
    rollout = start_rollout(version=version, installations=[installation], reason="new", actor=SOMEBODY)
    finish(rollout.pushes.get(), state="succeeded")
    assert only_row(version).also == ("holds_already",)
    again = start_rollout(version=version, installations=[installation], reason="repair", actor=SOMEBODY)
    assert only_row(version).also == ("holds_already", "supersedes")
    assert only_row(version).rollout == again.number
    said = preview_words.also(preview_of(version))
    assert said[0].startswith("1 is proven to hold this version already")
    assert said[1].startswith("1 has an open push of an earlier rollout")
    Installation.objects.update(observed_digest="e" * 64)  # somebody changed the file
    assert only_row(version).also == ("supersedes",)
    assert FILE_DIGEST != "e" * 64


def test_a_last_push_that_failed_is_told_where_nothing_else_explains_it(version: ClientSecret) -> None:
    fail("reload_failed")
    row = only_row(version)
    assert (row.fate, row.also, row.failed) == ("pushed", ("failed_last",), "reload_failed")
    assert preview_words.also(preview_of(version))[0].startswith(
        "1 of those that are pushed failed at the last push"
    )
    assert "the last push there failed" in preview_words.in_words(row)
    Push.objects.update(code="worker_lost")  # it tells nothing about the container
    assert only_row(version).also == ()
    Push.objects.update(code="connection_refused")  # what people changed since is known of this one
    assert only_row(version).failed == ""


def test_a_room_above_says_what_waits(version: ClientSecret) -> None:
    make_installation(container="web2")
    HostKey.objects.filter(container__name="web2").delete()
    preview_words.register_wait(
        "waits_for_wave_of_a_test", gettext_lazy("for its wave"), gettext_lazy("wave %(number)s")
    )
    later = dict.fromkeys(
        Installation.objects.values_list("pk", flat=True), Later("waits_for_wave_of_a_test", {"number": 3})
    )
    said = preview(version, Installation.objects.all(), later=later)
    assert [preview_words.headline(each, said.total) for each in said.groups] == [
        "1 of 2 will fail: no approved host key",
        "1 of 2 waits: for its wave",
    ]
    assert [preview_words.in_words(row) for row in said.rows] == [
        "waits: for its wave; wave 3",
        "will fail: no approved host key; wave 3",
    ]
    assert said.estimate is None  # nothing begins now


def test_repairs_of_several_versions_are_judged_together(version: ClientSecret) -> None:
    make_installation(instance="prod2", container="web2")
    other = make_account(name="Other", instances=["prod2"])
    HostKey.objects.filter(container__name="web2").update(state="revoked")
    by_name = {str(each): each.pk for each in Installation.objects.all()}
    with CaptureQueriesContext(connection) as captured:
        found = preview_each({by_name["prod1 on web1"]: version, by_name["prod2 on web2"]: other})
    assert [found[by_name[name]].why for name in sorted(by_name)] == ["", "no_host_key"]
    swapped = preview_each({by_name["prod1 on web1"]: other, by_name["prod2 on web2"]: version})
    assert {row.why for row in swapped.values()} == {"not_assigned"}
    assert len(captured) < 15


def seeded(count: int) -> ClientSecret:
    names = [f"web{number:03}" for number in range(count)]
    rollout = make_rollout(containers=names)
    for number, push in enumerate(rollout.pushes.select_related("container")):
        if number % 3 == 0:
            finish(push, state="failed", code="login_refused")
        elif number % 3 == 1:
            finish(push, state="succeeded")
    return rollout.secret


def queries(version: ClientSecret) -> int:
    with CaptureQueriesContext(connection) as captured:
        preview(version, Installation.objects.all())
    return len(captured)


def test_more_installations_take_no_more_statements() -> None:
    with transaction.atomic():
        few = queries(seeded(6))
        transaction.set_rollback(True)
    assert queries(seeded(60)) == few <= 14


def test_a_long_group_names_its_first_ones() -> None:
    version = make_account(instances=["prod1"])
    for number in range(SHOWN + 5):
        make_installation(container=f"web{number:02}")
    [line] = shown(preview(version, Installation.objects.all())).lines
    assert [each.row.container for each in line.shown] == [f"web{number:02}" for number in range(SHOWN)]
    assert line.more == 5


def page(client: Client, name: str, *given: object, query: str = "") -> str:
    response = client.get(reverse(name, args=given) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_the_rollout_page_says_it_before_the_start_button(as_admin: Client, version: ClientSecret) -> None:
    HostKey.objects.all().delete()
    make_installation(container="web2")
    text = page(as_admin, "account_rollout", version.account_id)
    assert "1 of 2 will fail: no approved host key" in text
    assert "1 of 2 is pushed" in text
    first = Container.objects.get(name="web1")
    assert f'<a href="/containers/{first.pk}/#host-keys">Approve host keys</a>' in text
    assert text.index('id="preview"') < text.index('value="start"')
    assert "Nothing would start" not in text


def test_the_rollout_page_previews_what_was_just_chosen(as_admin: Client, version: ClientSecret) -> None:
    other = make_installation(container="web2")
    HostKey.objects.filter(container__name="web1").delete()
    url = reverse("account_rollout", args=[version.account_id])
    kept = {"shown": other.instance_id, "instance": other.instance_id, "installation": other.pk}
    answer = as_admin.post(url, {**kept, "reason": "rotation", "action": "preview"})
    assert answer["Location"].endswith("#preview")
    text = page(as_admin, "account_rollout", version.account_id)
    assert "1 of 1 is pushed" in text
    assert "1 will fail" not in text
    assert not Rollout.objects.exists()


def test_a_large_choice_comes_before_its_preview(
    as_admin: Client, version: ClientSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """htmx asks for it then; without JavaScript, a link does."""
    monkeypatch.setattr(previews, "INLINE", 0)
    text = page(as_admin, "account_rollout", version.account_id)
    assert 'hx-get="?preview=1"' in text
    assert "Show what will happen at the 1 chosen installation" in text
    assert "1 of 1 is pushed" not in text
    assert "1 of 1 is pushed" in page(as_admin, "account_rollout", version.account_id, query="?preview=1")
    url = reverse("account_rollout", args=[version.account_id])
    part = as_admin.get(f"{url}?preview=1", headers={"HX-Request": "true"}).content.decode()
    assert "1 of 1 is pushed" in part
    assert 'value="preview"' in part
    assert "<html" not in part


def test_pushing_again_says_what_it_would_do(as_admin: Client, version: ClientSecret) -> None:
    push = fail("login_refused")
    Push.objects.filter(pk=push.pk).update(state="succeeded", code="", is_unproven=True)
    text = page(as_admin, "unproven_successes")
    assert "is likely to fail: SSH login refused" in text
    assert pushed_again([push]) == repaired([push.installation]) == {push.installation_id: version}


def test_a_repair_without_an_account_or_a_secret_foretells_nothing(version: ClientSecret) -> None:
    installation = Installation.objects.get()
    ClientSecret.objects.update(state="abandoned", slot=None)
    assert repaired([installation]) == {}
    installation.instance.assignment.delete()
    assert repaired(Installation.objects.all()) == {}
    with pytest.raises(RolloutError, match="does not use an account"):
        repair(installations=[installation], actor=SOMEBODY)


def said_by_command(
    capsys: pytest.CaptureFixture[str], *arguments: str, **options: object
) -> tuple[str, int]:
    try:
        call_command("preview", *arguments, **options)
    except SystemExit as ended:
        return capsys.readouterr().out, int(str(ended.code))
    return capsys.readouterr().out, 0


def test_the_command_says_it_and_ends_with_1_if_something_needs_a_person(
    version: ClientSecret, capsys: pytest.CaptureFixture[str]
) -> None:
    text, status = said_by_command(capsys, "Triggers")
    assert status == 0
    assert "1 of 1 is pushed" in text
    make_installation(container="web2")
    HostKey.objects.filter(container__name="web2").delete()
    make_container(name="web3", is_enabled=False)
    make_installation(container="web3")
    text, status = said_by_command(capsys, "Triggers")
    assert status == 1
    assert "1 of 3 will fail: no approved host key" in text
    answer, status = said_by_command(capsys, "Triggers", json=True)
    said = json.loads(answer)
    assert [(each["container"], each["what"], each["why"]) for each in said["installations"]] == [
        ("web1", "pushed", ""),
        ("web2", "fails", "no_host_key"),
        ("web3", "left_out", "container_off"),
    ]
    assert (said["starts"], said["seconds"], said["version"]) == (True, None, 1)


def test_the_command_refuses_what_the_command_rollout_refuses(
    version: ClientSecret, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named instance with a container that is off stops the rollout: nothing of it is left out there."""
    make_container(name="web3", is_enabled=False)
    make_installation(container="web3")
    text, status = said_by_command(capsys, "Triggers", instance=["prod1"])
    assert (status, "Nothing would start." in text) == (1, True)
    with pytest.raises(CommandError, match="switched off"):
        call_command("rollout", "Triggers", instance=["prod1"], unconfirmed=True)
    with pytest.raises(CommandError, match="No installation of these instances uses"):
        call_command("preview", "Triggers", instance=["prod9"])
    with pytest.raises(CommandError, match="no version 9"):
        call_command("preview", "Triggers", secret_version=9)


def show_another_key(container: Container) -> None:
    container.host_keys.all().delete()
    ExpectedHostKey.objects.create(container=container, fingerprint="SHA256:expected", given_by="alice")
    make_host_key(container=container, state=HostKey.State.OFFERED)


def lose_key(container: Container) -> None:
    container.host_keys.all().delete()


def change_key(container: Container) -> None:
    make_host_key(container=container, state=HostKey.State.OFFERED)


@pytest.mark.parametrize("doubt", [show_another_key, lose_key, change_key])
def test_the_link_about_keys_leads_to_where_they_are_decided_on(
    as_admin: Client, version: ClientSecret, doubt: Callable[[Container], None]
) -> None:
    first = Container.objects.get()
    doubt(first)
    [line] = shown(preview_of(version)).lines
    assert line.url == f"/containers/{first.pk}/#host-keys"
    assert 'id="host-keys"' in as_admin.get(f"/containers/{first.pk}/").content.decode()
    second = make_installation(container="web2").container
    doubt(second)
    make_installation(container="web3")
    line = shown(preview_of(version)).lines[0]
    assert line.group.count == 2
    found = as_admin.get(line.url).content.decode()
    assert [name in found for name in ("web1", "web2", "web3")] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "query"), {(name, query) for name, query, _action in previews._MENDS.values() if query}
)
def test_no_link_has_a_filter_that_its_list_does_not_know(as_admin: Client, name: str, query: str) -> None:
    answer = as_admin.get(reverse(name) + f"?{query}")
    assert not answer.context["form"].errors
    assert answer.context["form"].data.dict() == dict([query.split("=")])


def test_what_a_push_does_on_campaign_is_said_once_with_counts(
    as_admin: Client, version: ClientSecret
) -> None:
    make_installation(container="web2")
    text = page(as_admin, "account_rollout", version.account_id)
    assert text.count("Each push has Campaign reload its configuration there.") == 1
    assert "pipelined" not in text
    Instance.objects.update(uses_triggers=True)
    text = page(as_admin, "account_rollout", version.account_id)
    assert text.count("On 2 installations, a push also restarts pipelined") == 1


def test_those_that_failed_last_are_named(as_admin: Client, version: ClientSecret) -> None:
    fail("reload_failed")
    make_installation(container="web2")
    [also] = shown(preview_of(version)).also
    assert [each.row.container for each in also.shown] == ["web1"]
    text = page(as_admin, "account_rollout", version.account_id)
    said = text.partition("1 of those that are pushed failed at the last push")[2].partition("</details>")[0]
    assert "prod1 on web1" in said
    assert "web2" not in said
