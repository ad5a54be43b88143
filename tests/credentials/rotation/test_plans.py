"""The rules by which a rotation goes from wave to wave, and by which it stops."""

import pytest

from credentials.rotation.plans import RuleError, StopRule, WaveRule


@pytest.mark.parametrize("rule", ["", "0", "101%", "one", "environment, 1", "1,,2", "-1", "1," * 20 + "1"])
def test_a_wave_rule_that_cannot_be_followed_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        WaveRule.parse(rule)


@pytest.mark.parametrize("rule", ["", "100%", "-1", "many", "1.5"])
def test_a_stop_rule_that_cannot_be_followed_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        StopRule.parse(rule)


@pytest.mark.parametrize(
    ("rule", "total", "sizes"),
    [("1, 10%, 100%", 50, [1, 5, 50, 50]), ("2", 50, [2, 2]), ("1%", 3, [1]), (" 3 ; 50 % ", 7, [3, 4, 4])],
)
def test_sizes_are_rounded_up_and_the_last_one_repeats(rule: str, total: int, sizes: list[int]) -> None:
    parsed = WaveRule.parse(rule)
    assert [parsed.size(position, total) for position in range(len(sizes))] == sizes


@pytest.mark.parametrize(
    ("rule", "failed", "begun", "broken"),
    [
        ("0", 0, 9, False),
        ("0", 1, 9, True),
        ("2", 2, 9, False),
        ("2", 3, 9, True),
        ("10%", 0, 5, False),
        ("10%", 1, 5, True),
        ("10%", 1, 10, False),
        ("10%", 2, 10, True),
    ],
)
def test_a_stop_rule_allows_what_it_says(rule: str, failed: int, begun: int, broken: bool) -> None:
    assert StopRule.parse(rule).is_broken(failed=failed, begun=begun) == broken


@pytest.mark.parametrize("rule", ["environment", "ROLE", "1, 10%, 100%"])
def test_a_rule_is_kept_in_its_plain_form(rule: str) -> None:
    assert str(WaveRule.parse(str(WaveRule.parse(rule)))) == rule.lower()


@pytest.mark.parametrize(("typed", "kept"), [("Environnement", "environment"), (" RÔLE ", "role")])
def test_a_rule_may_be_typed_in_french(typed: str, kept: str) -> None:
    assert str(WaveRule.parse(typed)) == kept
