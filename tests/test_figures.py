"""The report that measurements end in: its arithmetic, and when it says that a goal is missed."""

from pathlib import Path

import pytest

from tests.figures import MEASURED, Goal, Report, Table, percentile, shown
from tests.services.portal import ROOT


@pytest.mark.parametrize(
    ("value", "sense", "is_met"),
    [
        (1.25, "at most", True),
        (1.26, "at most", False),
        (3.0, "at least", True),
        (2.9, "at least", False),
        (None, "at most", False),
        (None, "at least", False),
    ],
)
def test_a_goal_is_met_up_to_its_limit_and_never_unmeasured(
    value: float | None, sense: str, is_met: bool
) -> None:
    limit = 1.25 if sense == "at most" else 3
    goal = Goal("speed", value, sense, limit, "s")  # type: ignore[arg-type]  # from the table above
    assert goal.is_met is is_met
    assert goal.row[-1] == ("met" if is_met else "MISSED")


def test_a_row_shows_figure_and_limit() -> None:
    assert Goal("delay", 0.1234, "at most", 0.2, "s").row == ["delay", "0.123 s", "≤ 0.2 s", "met"]
    assert Goal("delay", None, "at most", 0.2, "s").row == ["delay", "not measured", "≤ 0.2 s", "MISSED"]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 10.0), (0.95, 19.0), (0.951, 20.0), (1.0, 20.0)]
)
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    values = [float(number) for number in range(20, 0, -1)]
    assert percentile(values, share) == expected


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.95) == 7.0


def test_figures_have_the_digits_they_deserve() -> None:
    assert [shown(each) for each in (0.01234, 9.876, 1234.5, 5000, "none")] == [
        "0.0123",
        "9.88",
        "1,234",
        "5,000",
        "none",
    ]


def test_a_table_is_markdown() -> None:
    table = Table("Speed", ["who", "seconds"], [["portal", 1.5]], "Medians.")
    assert table.markdown == (
        "### Speed\n\n| who | seconds |\n| --- | ---: |\n| portal | 1.5 |\n\nMedians.\n"
    )


def test_a_run_fails_if_one_goal_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("make bench")
    report.table("Speed", ["who", "seconds"], [["portal", 1.5]])
    report.goal(Goal("fast", 1.5, "at most", 2))
    assert report.finish() == 0
    report.goal(Goal("faster", 1.5, "at most", 1))
    record = tmp_path / "record.md"
    assert report.finish(record) == 1
    assert [goal.what for goal in report.missed] == ["faster"]
    assert "1 of 2 goals missed." in capsys.readouterr().out
    written = record.read_text()
    assert written.startswith("`make bench`, ")
    assert "| faster | 1.5 | ≤ 1 | MISSED |" in written
    assert "| portal | 1.5 |" in written


def test_a_second_run_of_record_keeps_the_introduction_once(tmp_path: Path) -> None:
    report, record = Report("make bench"), tmp_path / "record.md"
    for figure in (1.5, 2.5):
        report.tables = [Table("Speed", ["seconds"], [[figure]])]
        report.finish(record, introduction="# Benchmarks\n\nAs they come.\n")
        record.write_text(record.read_text().replace("As they come.", "By hand."))
    text = record.read_text()
    assert text.count("# Benchmarks") == text.count("By hand.") == text.count("`make bench`, ") == 1
    assert text.index("By hand.") < text.index(MEASURED) < text.index("`make bench`, ") < text.index("2.5")
    assert "1.5" not in text


def test_the_page_of_record_has_its_introduction_once() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()
    above, _mark, figures = text.partition(MEASURED)
    paragraphs = [each for each in text.split("\n\n") if len(each) > 80]
    assert len(paragraphs) == len(set(paragraphs))
    assert above.startswith("# Benchmarks")
    assert figures.lstrip().startswith("`make bench ARGS=")
