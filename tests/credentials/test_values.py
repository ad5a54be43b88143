import pytest

from credentials.values import COMMAND_ORDER, check, check_all, split_line

GOOD = {
    "organization_id": "0123456789ABCDEF01234567@AdobeOrg",
    "client_id": "0123456789abcdef0123456789abcdef",
    "technical_account_id": "89ABCDEF0123456789ABCDEF@techacct.adobe.com",
    "client_secret": "p8e-AbCdEfGhIjKlMnOpQrStUvWxYz012-_x",
}
EMAIL = "01234567-89ab-cdef-0123-456789abcdef@techacct.adobe.com"
LINE = "/".join(GOOD[name] for name in COMMAND_ORDER)


@pytest.mark.parametrize("name", COMMAND_ORDER)
def test_a_usual_value_passes_without_a_word(name: str) -> None:
    checked = check(name, GOOD[name])
    assert checked.is_accepted
    assert (checked.value, checked.stripped, checked.cautions, checked.belongs_to) == (
        GOOD[name],
        False,
        (),
        "",
    )


@pytest.mark.parametrize("around", [" ", "\n", "\r\n\t", "\u00a0", "\u200b \ufeff", "\u3000"])
def test_blanks_at_the_ends_are_removed_and_said(around: str) -> None:
    checked = check("client_id", around + GOOD["client_id"] + around)
    assert checked.is_accepted
    assert (checked.value, checked.stripped) == (GOOD["client_id"], True)


@pytest.mark.parametrize("name", COMMAND_ORDER)
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("", "empty"),
        (" \n\u200b", "empty"),
        ("ab/cd", "slash"),
        ("ab cd", "space"),
        ("ab\ncd", "line_break"),
        ('"abcd"', "quote"),
        ("ab'cd", "quote"),
        ("ab“cd", "quote"),
        ("ab$cd", "dollar"),
        ("ab`cd", "backtick"),
        ("ab\\cd", "backslash"),
        ("ab\x00cd", "control"),
        ("ab\x1b[31mcd", "control"),
        ("ab\u202ecd", "control"),
        ("ab\u200bcd", "control"),
        ("abécd", "not_ascii"),
        ("\u0430bcd", "not_ascii"),
        ("ab\ud800cd", "not_ascii"),
        ("a" * 201, "too_long"),
        ("*" * 36, "masked"),
        ("p8e-••••••••", "masked"),
        ("<client id>", "placeholder"),
        ("YOUR_CLIENT_ID", "placeholder"),
        ("xxxxxxxxxx", "placeholder"),
        ("null", "placeholder"),
        ('{"CLIENT_ID": "x"}', "json"),
        ("-----BEGIN PRIVATE KEY-----", "jwt"),
        ("eyJhbGci.eyJpZCI." + "a" * 300, "access_token"),
    ],
)
def test_what_cannot_be_a_value_is_refused(name: str, bad: str, code: str) -> None:
    checked = check(name, bad)
    assert not checked.is_accepted
    assert checked.code == code


@pytest.mark.parametrize("name", COMMAND_ORDER)
@pytest.mark.parametrize("unusual", ["a" * 200, "new-shape_2031", "a;b", "A#1"])
def test_an_unusual_shape_can_be_confirmed(name: str, unusual: str) -> None:
    checked = check(name, unusual)
    assert checked.is_accepted
    assert [caution.code for caution in checked.cautions] == ["unusual"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("technical_account_id", EMAIL, "email"),
        ("organization_id", "1234567", "numeric_organization"),
        ("organization_id", "0123456789ABCDEF01234567", "suffix_missing"),
        ("technical_account_id", "0123456789ABCDEF01234567", "suffix_missing"),
        ("organization_id", GOOD["organization_id"].lower(), "letter_case"),
        ("client_id", GOOD["client_id"].upper(), "letter_case"),
        ("client_secret", GOOD["client_id"], "looks_like_client_id"),
        ("client_secret", "s8e-" + "a" * 32, "jwt_secret"),
        ("client_secret", "p8e-" + "a" * 31, "unusual"),
    ],
)
def test_a_known_mistake_is_explained(name: str, value: str, code: str) -> None:
    checked = check(name, value)
    assert checked.is_accepted
    assert [caution.code for caution in checked.cautions] == [code]


@pytest.mark.parametrize("name", COMMAND_ORDER)
@pytest.mark.parametrize("owner", COMMAND_ORDER)
def test_a_value_of_another_field_names_that_field(name: str, owner: str) -> None:
    checked = check(name, GOOD[owner])
    assert checked.belongs_to == (owner if owner != name else "")
    if owner != name and (name, owner) != ("client_secret", "client_id"):
        assert checked.code == "swapped"


@pytest.mark.parametrize("name", ["organization_id", "client_id", "technical_account_id"])
@pytest.mark.parametrize(
    "raw", [GOOD["client_secret"], f"secret={GOOD['client_secret']}", LINE, '{"A": "b"}']
)
def test_a_secret_in_another_field_is_refused_and_marked_as_not_to_be_shown(name: str, raw: str) -> None:
    checked = check(name, raw)
    assert not checked.is_accepted
    assert checked.holds_secret


@pytest.mark.parametrize("name", COMMAND_ORDER)
@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"-setimsoauth:{LINE}",
        f"nlserver config -instance:prod1 -setimsoauth:{LINE} \n",
        f"'{LINE}'",
        "/".join(reversed(LINE.split("/"))),
    ],
)
def test_a_whole_line_in_one_field_is_refused_and_offers_its_parts(name: str, line: str) -> None:
    checked = check(name, line)
    assert checked.code == "line"
    assert checked.parts == GOOD
    assert GOOD["client_secret"] not in repr(checked)


def test_a_line_of_unusual_values_is_taken_by_place() -> None:
    parts = split_line(f"{GOOD['organization_id']}/one/two/three")
    assert list(parts.values()) == [GOOD["organization_id"], "one", "two", "three"]


@pytest.mark.parametrize(
    "text", ["", "a/b/c/d", "https://example.org/a", LINE + "/more", LINE.replace("p8e", "/p8e")]
)
def test_other_text_with_slashes_is_not_a_line(text: str) -> None:
    assert split_line(text) == {}


def test_four_good_values_pass_together() -> None:
    checked = check_all(GOOD)
    assert checked.is_accepted
    assert (checked.cautions, checked.suggestion) == ((), {})


def test_values_in_the_order_of_the_console_are_put_right() -> None:
    console = (
        GOOD["client_id"],
        GOOD["client_secret"],
        GOOD["technical_account_id"],
        GOOD["organization_id"],
    )
    checked = check_all(dict(zip(COMMAND_ORDER, console, strict=True)))
    assert not checked.is_accepted
    assert checked.suggestion == GOOD
    assert [checked.fields[name].belongs_to for name in COMMAND_ORDER] == [
        "client_id",
        "client_secret",
        "",
        "organization_id",
    ]


def test_the_parts_of_a_pasted_line_are_suggested() -> None:
    assert check_all({"organization_id": LINE}).suggestion == GOOD


def test_the_client_id_in_the_secret_field_too_is_refused() -> None:
    checked = check_all(GOOD | {"client_secret": GOOD["client_id"]})
    assert checked.fields["client_secret"].code == "repeated"
    assert checked.fields["client_id"].is_accepted


def test_missing_values_count_as_empty() -> None:
    assert {field.code for field in check_all({}).fields.values()} == {"empty"}


def test_every_caution_is_listed_with_its_field() -> None:
    checked = check_all(GOOD | {"technical_account_id": EMAIL, "client_secret": "other-form"})
    assert [(name, caution.code) for name, caution in checked.cautions] == [
        ("technical_account_id", "email"),
        ("client_secret", "unusual"),
    ]


@pytest.mark.parametrize("name", COMMAND_ORDER)
@pytest.mark.parametrize(
    "canary", ["CANARY7", "p8e-CANARY7" + "a" * 25, "CANARY7 CANARY7", "CANARY7/x", "'CANARY7"]
)
def test_no_message_quotes_a_value(name: str, canary: str) -> None:
    checked = check_all(GOOD | {name: canary})
    said = [str(field.problem) for field in checked.fields.values()]
    said += [str(caution.message) for _, caution in checked.cautions]
    assert "CANARY7" not in " ".join([*said, repr(checked)])


def test_a_long_hostile_paste_is_judged_quickly() -> None:
    for paste in (" \u200b" * 100_000 + "x", "/" * 200_000, "{" * 200_000, "x" * 200_000, "p8e-" * 50_000):
        assert not check("client_secret", f"x{paste}!").is_accepted
