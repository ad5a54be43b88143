import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from instances.inventory.csv_format import (
    COLUMNS,
    DEPLOYMENT,
    ENVIRONMENT,
    MAX_BYTES,
    MAX_LISTED,
    ROLE,
    CsvRow,
    ParsedInventory,
    clean_address,
    clean_choice,
    clean_container_name,
    clean_host_key_fingerprint,
    clean_install_root,
    clean_instance_name,
    clean_login,
    clean_port,
    clean_yes_no,
    parse,
)

FILES = Path(__file__).parent / "files"
HEAD = "instance,container,address"
GOOD = "prod1,app-1,app-1.example.com"
KEY = "SHA256:" + "A" * 43


def read(*lines: str) -> ParsedInventory:
    return parse("\n".join(lines).encode())


def places(parsed: ParsedInventory) -> list[tuple[int, str]]:
    return [(error.row_number, error.column) for error in parsed.errors]


def reasons(parsed: ParsedInventory) -> str:
    return " ".join(error.reason for error in parsed.errors)


# What is read


def test_all_columns_in_any_order_are_read() -> None:
    parsed = read(
        "host_key,uses_triggers,role,deployment,environment,install_root,become,login,port,address,container,instance",
        f"{KEY},yes,MID,hybrid,stage,/opt/neolane,sudo,campaign,2222,10.0.0.1,app-1,prod1",
    )
    assert parsed.errors == ()
    assert parsed.rows == (
        CsvRow(
            number=2,
            instance="prod1",
            container="app-1",
            address="10.0.0.1",
            port=2222,
            login="campaign",
            become="sudo",
            install_root="/opt/neolane",
            environment="stage",
            deployment="hybrid",
            role="MID",
            uses_triggers=True,
            host_key=KEY,
        ),
    )


def test_what_has_no_column_or_an_empty_cell_is_not_said() -> None:
    parsed = read(HEAD + ",port,role", GOOD + ",,")
    assert parsed.rows == (CsvRow(2, "prod1", "app-1", "app-1.example.com"),)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_every_usual_way_of_writing_csv_is_read(
    separator: str, line_end: str, mark: bytes, quote: str
) -> None:
    lines = [separator.join(quote + cell + quote for cell in line.split(",")) for line in (HEAD, GOOD)]
    parsed = parse(mark + line_end.join([*lines, ""]).encode())
    assert parsed.errors == ()
    assert parsed.rows == (CsvRow(2, "prod1", "app-1", "app-1.example.com"),)


def test_excels_separator_line_is_followed_and_not_counted() -> None:
    parsed = read("sep=;", HEAD.replace(",", ";"), GOOD.replace(",", ";"))
    assert [row.number for row in parsed.rows] == [2]


def test_names_of_columns_and_choices_are_read_tolerantly() -> None:
    parsed = read(
        " Instance , CONTAINER,Address ,Install Root,Uses-Triggers,deployment,ROLE,Environment",
        GOOD + ", /opt/n/ ,Oui,On Premise,mkt, Prod ",
    )
    (row,) = parsed.rows
    assert (row.install_root, row.uses_triggers, row.deployment, row.role, row.environment) == (
        "/opt/n",
        True,
        "on-premise",
        "MKT",
        "production",
    )


def test_blank_rows_and_empty_columns_at_the_end_are_passed_over() -> None:
    parsed = read("", HEAD + ",,", "", " , ,,,", GOOD + ",,,,", "")
    assert parsed.errors == ()
    assert [row.number for row in parsed.rows] == [5]


def test_rows_are_numbered_as_in_a_spreadsheet_whatever_their_cells_contain() -> None:
    parsed = read(HEAD, '"pro', 'd1",app-1,a.example.com', "", "prod2,app-2,a b")
    assert places(parsed) == [(2, "instance"), (4, "address")]


def test_a_hosted_instance_needs_no_container() -> None:
    parsed = read(HEAD + ",deployment", "cloud1,,,Hosted", "cloud2,,,", "cloud3,,a.example.com,hosted")
    assert parsed.rows == (CsvRow(2, "cloud1", deployment="hosted"),)
    assert places(parsed) == [(3, "container"), (4, "container")]


def test_one_row_may_speak_for_the_others_of_its_instance_and_container() -> None:
    parsed = read(
        HEAD + ",deployment,port",
        "prod1,app-1,,,",
        "prod2,app-1,app-1.example.com,,2222",
        "cloud1,,,hosted,",
        "cloud1,app-9,app-9.example.com,,",
    )
    assert parsed.errors == ()
    assert len(parsed.rows) == 4


# What spreadsheets and people add


def excel(name: str) -> bytes:
    return (FILES / name).read_bytes()


def the_row(data: bytes) -> CsvRow:
    parsed = parse(data)
    assert parsed.errors == ()
    (row,) = parsed.rows
    return row


def test_empty_cells_that_excel_leaves_out_at_the_end_of_a_row_are_empty() -> None:
    parsed = parse(excel("excel-short-rows.csv"))
    assert parsed.errors == ()
    assert [row.uses_triggers for row in parsed.rows] == [True, True, True, None, None]
    assert parsed.rows[-1] == CsvRow(6, "prod", "mkt-5", "10.0.0.5")


def test_blanks_around_quoted_cells_are_no_error() -> None:
    assert the_row(excel("blank-before-quote.csv")) == CsvRow(2, "prod", "mkt-1", "10.0.0.1")


@pytest.mark.parametrize(
    "lines",
    [
        ('"instance" , "container" ,"address"', '"prod1" ,\u00a0"app-1"\t, "app-1.example.com" '),
        ("instance; container ;address;;", "prod1; app-1 ;app-1.example.com;;;;"),
        ("instance|container|address", "prod1|app-1|app-1.example.com"),
        ('"sep=;",,', "instance;container;address", "prod1;app-1;app-1.example.com"),
        (",instance,container,address,,role", ",prod1,app-1,app-1.example.com"),
        (
            "\u200eINSTANCE*,Container name,IP address:",
            "“prod1”,'app\u20111',\ufeffapp\u20131.example.com\u00a0",
        ),
        ("# inventory, as of today", HEAD, "#prod9,app-9,10.0.0.9", GOOD, "\x1a"),
        ("#instance,container,address", GOOD),
        (HEAD, '="prod1","=""app-1""",app-1.example.com\n'),
    ],
)
@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_means_nothing_counts_for_nothing(lines: tuple[str, ...], end: str, encoding: str) -> None:
    row = the_row(end.join(lines).encode(encoding))
    assert (row.instance, row.container, row.address) == ("prod1", "app-1", "app-1.example.com")


def test_a_file_in_windows_1252_is_read_where_its_values_are_plain() -> None:
    row = the_row(f"# après la réunion\n{HEAD},rôle\nprod1,app-1,10.0.0.1\xa0,rt\n".encode("cp1252"))
    assert (row.address, row.role) == ("10.0.0.1", "RT")


def test_numbers_and_ticks_that_a_spreadsheet_writes_are_read() -> None:
    head = f"{HEAD},SSH port,Uses Triggers?,role,deployment"
    row = the_row(f"{head}\n{GOOD},22.0,WAHR,Marketing (MKT),Hosted by Adobe".encode())
    assert (row.port, row.uses_triggers, row.role, row.deployment) == (22, True, "MKT", "hosted")
    assert the_row(f"{head}\n{GOOD}".replace(",", ";").encode() + b";2222,00").port == 2222


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ("prod1,app-2,a.example.com,2.222", "port", "whole number"),
        ('prod1,app-2,a.example.com,"22,000"', "port", "whole number"),
        ("#N/A,app-2,a.example.com", "instance", "not a value"),
        ("#BEZUG!,app-2,a.example.com", "instance", "not a value"),
        ("prod1,\u2013,a.example.com", "container", "leave the cell empty"),
        ("01-Mar,app-2,a.example.com", "instance", "format the column as text"),
        ("prod1,2026-03-01,a.example.com", "container", "format the column as text"),
        ("1E+05,app-2,a.example.com", "instance", "format the column as text"),
        ("pro\u00add1,app-2,a.example.com", "instance", "invisible"),
        ("prod1,app-2,a.example.com,22,forgotten", "", "no name"),
        ('prod1,app-2,"a.example.com" x', "", "quotation mark"),
    ],
)
def test_what_may_mean_two_things_is_asked_about_at_its_place(row: str, column: str, said: str) -> None:
    parsed = read(HEAD + ",port,,role", GOOD, row)
    assert places(parsed) == [(3, column)]
    assert said in reasons(parsed)


def test_files_put_behind_each_other_repeat_their_first_row() -> None:
    parsed = read(HEAD, GOOD, "\ufeffInstance, Container,Address", "prod2,app-1,")
    assert parsed.errors == ()
    assert [(row.number, row.instance) for row in parsed.rows] == [(2, "prod1"), (4, "prod2")]


def test_blanks_around_millions_of_quotes_take_time_as_there_are_quotes() -> None:
    for text in ('" ' * 300_000, ' "' * 300_000, '"",""," ' * 100_000, '"a,"" ' * 100_000):
        began = time.process_time()
        parse(f"{HEAD}\n{text}".encode())
        assert time.process_time() - began < 20  # minutes, if each quote looked at all others


# What is refused


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        (b"", 0, "empty"),
        (b"\xef\xbb\xbf \r\n\t\n", 0, "empty"),
        (b";", 0, "empty"),
        (b"sep=;\n", 0, "empty"),
        (b'"",\n,', 0, "empty"),
        (HEAD.encode(), 0, "no row"),
        (f"{HEAD}\n\n,,\n".encode(), 0, "no row"),
        (f"{HEAD}\n{GOOD}".encode("utf-16-le"), 0, "UTF-16"),
        (f"{HEAD}\n{GOOD}".encode("utf-32"), 0, "UTF-16"),
        (f"{HEAD}\n{GOOD}".encode("utf-16")[:-1], 0, "UTF-16"),
        (f"{HEAD}\n{GOOD}".encode("utf-16-be"), 0, "UTF-16"),
        (b"\x00" * 100, 0, "UTF-16"),
        (b"PK\x03\x04\x14\x00", 0, "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "workbook"),
        (b"<table><tr><td>instance</td></tr></table>", 0, "web page"),
        (f"{HEAD}\n{GOOD}\nprod".encode() + b"\x81,a,b\n", 0, "Line 3 is neither UTF-8"),
        (f"{HEAD}\n{GOOD}\nprodé,a,b\n".encode("latin-1"), 3, "without accents"),
        (b"x" * (MAX_BYTES + 1), 0, "20 MB"),
        (b"x" * 2_000_000, 1, "far too long"),
        (b"," * 2_000_000 + b"x", 1, "far too many columns"),
        (f'{HEAD}\n{GOOD}\n"prod1,app'.encode(), 3, "quotation mark"),
        (f'{HEAD}\n{GOOD}\n"prod1"x,app,b'.encode(), 3, "quotation mark"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, row: int, said: str) -> None:
    parsed = parse(data)
    assert [error.row_number for error in parsed.errors] == [row]
    assert said in reasons(parsed)


@pytest.mark.parametrize(
    ("header", "column", "said"),
    [
        ("container,address", "instance", "missing"),
        ("instance,container", "address", "missing"),
        (HEAD + ",Port,port", "port", "twice"),
        (HEAD + ",adress", "adress", "did you mean address"),
        (HEAD + ",colour", "colour", "The columns are: instance"),
        (HEAD + ",IP", "address", "twice in the file, here as “IP”"),
        (HEAD + ",Host", "Host", "container (your name"),
        (HEAD + ",=1+1", "=1+1", "no such column"),
        (HEAD + ",po\x1b[31mrt", "po?[31mrt", "no such column"),
        (HEAD + "," + "x" * 5000, "x" * 40, "no such column"),
    ],
)
def test_a_wrong_column_is_named(header: str, column: str, said: str) -> None:
    parsed = read(header, GOOD)
    assert places(parsed) == [(1, column)]
    assert said in reasons(parsed)
    assert parsed.rows == ()


def test_a_file_without_header_names_every_missing_column() -> None:
    assert places(read(GOOD))[-3:] == [(1, "instance"), (1, "container"), (1, "address")]


def test_a_row_with_more_cells_than_columns_is_refused_as_a_whole() -> None:
    parsed = read(HEAD, GOOD, GOOD + ",22")
    assert places(parsed) == [(3, "")]
    assert "quotation marks" in reasons(parsed)
    assert len(parsed.rows) == 1


@pytest.mark.parametrize(("row", "column"), [("prod2,app-2", "address"), ("prod2", "container")])
def test_a_short_row_lacks_what_its_cells_lack(row: str, column: str) -> None:
    assert (3, column) in places(read(HEAD, GOOD, row))


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (",app-1,a.example.com,,,,,,,,,,", ["instance"]),
        ("prod1,,a.example.com,,,,,,,,,,", ["container"]),
        ("prod1,,,,,,,,,,,,", ["container"]),
        ("prod1,app-1,,,,,,,,,,,", ["address"]),
        ("default,app-1,a.example.com,,,,,,,,,,", ["instance"]),
        (
            "-x,a b,http://a,x,a b,a b,root,../x,test,cloud,web,maybe,MD5:00,perhaps",
            list(COLUMNS),
        ),
        ("=1+1,+app,@a,-1,=x,=x,=x,=x,=x,=x,=x,=x,=x,=x", list(COLUMNS)),
        ("a\u202eb,a\u200bb,a\x1bb,2\x002".replace("\x00", "\x07") + ",,,,,,,,,", list(COLUMNS[:4])),
        (f"{'i' * 41},{'c' * 81},{'a' * 254},{'1' * 301},,,,,,,,,", list(COLUMNS[:4])),
    ],
)
def test_every_wrong_cell_of_a_row_is_named(row: str, columns: list[str]) -> None:
    parsed = read(",".join(COLUMNS), row)
    assert places(parsed) == [(2, column) for column in columns]
    assert parsed.rows == ()


@pytest.mark.parametrize(
    ("cell", "said"),
    [("=1+1", "formula"), ("@a", "formula"), ("+a", "formula"), ("-a", "formula"), ("a\u202eb", "invisible")],
)
def test_a_formula_or_an_invisible_character_is_called_so(cell: str, said: str) -> None:
    assert said in reasons(read(HEAD, f"{cell},app-1,app-1.example.com"))


def test_no_reason_repeats_what_a_hostile_cell_contains() -> None:
    parsed = read(
        ",".join(COLUMNS), ",".join(["=CANARY\x1b[31m"] * len(COLUMNS)), ",".join(["CANARY!"] * len(COLUMNS))
    )
    assert len(parsed.errors) == 2 * len(COLUMNS)
    assert "CANARY" not in reasons(parsed)


def test_an_installation_that_stands_twice_is_named_with_both_rows() -> None:
    parsed = read(HEAD, GOOD, "prod2,app-1,app-1.example.com", GOOD)
    assert places(parsed) == [(4, "container")]
    assert "Row 2" in reasons(parsed)


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("address", "a.example.com", "b.example.com"),
        ("port", "22", "2222"),
        ("login", "neolane", "root"),
        ("become", "sudo", "su"),
        ("install_root", "/opt/a", "/opt/b"),
        ("host_key", KEY, "SHA256:" + "B" * 42 + "A"),
    ],
)
def test_two_rows_that_contradict_each_other_about_a_container_are_named(
    column: str, first: str, second: str
) -> None:
    others = "" if column == "address" else ",address"
    other = "" if column == "address" else ",a.example.com"
    parsed = read(
        f"instance,container,{column}{others}", f"prod1,app-1,{first}{other}", f"prod2,app-1,{second}{other}"
    )
    assert places(parsed) == [(3, column)]
    assert "Row 2" in reasons(parsed)


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("environment", "stage", "production"),
        ("deployment", "hybrid", "on-premise"),
        ("uses_triggers", "no", "yes"),
    ],
)
def test_two_rows_that_contradict_each_other_about_an_instance_are_named(
    column: str, first: str, second: str
) -> None:
    parsed = read(
        f"{HEAD},{column}", f"prod1,app-1,a.example.com,{first}", f"prod1,app-2,b.example.com,{second}"
    )
    assert places(parsed) == [(3, column)]
    assert "Row 2" in reasons(parsed)


def test_a_container_name_in_other_letters_is_named() -> None:
    assert places(read(HEAD, GOOD, "prod2,APP-1,app-1.example.com")) == [(3, "container")]


def test_errors_beyond_the_listed_ones_are_counted() -> None:
    parsed = read(HEAD, *["prod1,app 1,a.example.com"] * 1000)
    assert len(parsed.errors) == MAX_LISTED
    assert parsed.unlisted_errors == 1000 - MAX_LISTED
    assert places(parsed)[-1] == (201, "container")


def test_errors_are_listed_in_the_order_of_the_rows() -> None:
    parsed = read(HEAD, GOOD, GOOD, "prod1,a b,a.example.com", "prod1,,", "prod1,c d,a.example.com")
    assert [number for number, _column in places(parsed)] == [3, 4, 5, 6]


@pytest.mark.slow
def test_reading_takes_time_as_there_are_rows_and_too_many_are_refused() -> None:
    line = (
        "inst{},app-{},h{}.example.com,2222,bastion-1,campaign,sudo,/usr/local/neolane,production,on-premise,MKT,no,"
        + KEY
    )
    rows = [line.format(number % 500, number, number) for number in range(100_001)]
    seconds = []
    for count in (2_000, 20_000):
        began = time.process_time()
        assert len(read(",".join(COLUMNS), *rows[:count]).rows) == count
        seconds.append(time.process_time() - began)
    assert seconds[1] < 30 * seconds[0]  # a hundred times, if each row looked at all others
    assert places(read(",".join(COLUMNS), *rows)) == [(100_002, "")]


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: f"{HEAD}\n{text}".encode("utf-8", "replace"))
)
def test_no_file_makes_it_fail(data: bytes) -> None:
    parsed = parse(data)
    assert parsed.errors or parsed.rows


# Single fields


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("app-1.example.com", "app-1.example.com"),
        (" APP_1.Example.COM. ", "app_1.example.com"),
        ("a", "a"),
        ("a.b-c", "a.b-c"),
        ("1and1.example", "1and1.example"),
        ("xn--caf-dma.example", "xn--caf-dma.example"),
        (".".join(["a" * 61] * 4), ".".join(["a" * 61] * 4)),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_an_address_is_a_host_name_or_an_ip_address(value: str, clean: str) -> None:
    assert clean_address(value) == clean


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("-oProxyCommand=touch /tmp/x", "option"),
        ("-h", "option"),
        ("ssh://app-1.example.com", "URL"),
        ("neolane@app-1", "login"),
        ("app-1/x", "“/”"),
        ("10.0.0.0/8", "“/”"),
        ("fe80::1%eth0", "interface"),
        ("app-1:22", "port"),
        ("10.0.0.1:22", "port"),
        ("[2001:db8::1]:22", "port"),
        ("app 1", "not a host name"),
        ("app-1\n", "fine"),
        ("app\n1", "not a host name"),
        ("a..b", "not a host name"),
        (".a", "not a host name"),
        ("a-.b", "not a host name"),
        ("a.-b", "not a host name"),
        ("a" * 64, "not a host name"),
        (".".join(["a" * 61] * 5), "not a host name"),
        ("$(id)", "not a host name"),
        ("a;b", "not a host name"),
        ("", "not a host name"),
        (".", "not a host name"),
        ("é.example", "xn--"),
        ("①27.0.0.1", "xn--"),
        ("127.1", "looks like an IP"),
        ("2130706433", "looks like an IP"),
        ("0x7f000001", "looks like an IP"),
        ("0177.0.0.1", "looks like an IP"),
        ("256.1.1.1", "looks like an IP"),
        ("::ffff:127.0.0.1", "IPv4 address: 127.0.0.1"),
        ("127.0.0.1", "own machine"),
        ("127.9.9.9", "own machine"),
        ("::1", "own machine"),
        ("0.0.0.0", "own machine"),
        ("0.0.0.1", "own machine"),
        ("::", "own machine"),
        ("localhost", "own machine"),
        ("LocalHost.", "own machine"),
        ("a.localhost", "own machine"),
        ("ip6-localhost", "own machine"),
        ("169.254.169.254", "not the address of one server"),
        ("fe80::1", "not the address of one server"),
        ("224.0.0.1", "not the address of one server"),
        ("255.255.255.255", "not the address of one server"),
        ("ff02::1", "not the address of one server"),
    ],
)
def test_what_is_no_address_says_what_to_do(value: str, said: str) -> None:
    if said == "fine":
        assert clean_address(value) == value.strip()
        return
    with pytest.raises(ValidationError, match=said):
        clean_address(value)


@pytest.mark.parametrize("value", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_passes_only_where_it_is_allowed(value: str) -> None:
    assert clean_address(value, allow_loopback=True) == value
    assert parse(f"{HEAD}\nprod1,app-1,{value}".encode(), allow_loopback=True).errors == ()
    with pytest.raises(ValidationError):
        clean_address("0.0.0.0", allow_loopback=True)


@pytest.mark.parametrize(
    ("clean", "good", "bad"),
    [
        (
            clean_instance_name,
            ["prod1", "a", "A_b-c", "1x", "x" * 40],
            ["", "-a", "_a", "a.b", "a b", "x" * 41, "é", "Default", "a\nb", "a/b"],
        ),
        (
            clean_container_name,
            ["app-1", "app.example.com", "x" * 80],
            ["", "-a", ".a", "a b", "x" * 81, "é", "a/b", "a\x00"],
        ),
        (
            clean_login,
            ["neolane", "_svc", "a.b-c", "x" * 32],
            ["", "-l", "1a", "a b", "root;id", "x" * 33, "é", "a@b", "a$"],
        ),
        (
            clean_install_root,
            ["/usr/local/neolane", "/opt", "/a/.b/c-d_e.f"],
            [
                "",
                "/",
                "opt",
                "/a b",
                "/a/../b",
                "/..",
                "/a/.",
                "//a",
                "/a//b",
                "/$HOME",
                "/" + "a" * 200,
                "/é",
                "/a\n/b",
                "~/a",
            ],
        ),
    ],
)
def test_names_logins_and_paths_are_plain(
    clean: Callable[[str], str], good: list[str], bad: list[str]
) -> None:
    assert [clean(f" {value} ") for value in good] == good
    for value in bad:
        with pytest.raises(ValidationError):
            clean(value)


def test_a_port_is_a_number_of_the_right_size() -> None:
    assert [clean_port(value) for value in ("22", " 65535 ", 1, "0022")] == [22, 65535, 1, 22]
    for value in ("", "0", "65536", "-1", "+22", "22.0", "1e3", "٢٢", "2_2", "9" * 5000, 0):
        with pytest.raises(ValidationError):
            clean_port(value)


@pytest.mark.parametrize(
    ("value", "choices", "clean"),
    [
        ("ON PREMISE", DEPLOYMENT, "on-premise"),
        ("on_premises", DEPLOYMENT, "on-premise"),
        ("Managed Services", DEPLOYMENT, "hosted"),
        ("dev", ENVIRONMENT, "development"),
        ("staging", ENVIRONMENT, "stage"),
        (" rt ", ROLE, "RT"),
    ],
)
def test_a_choice_is_recognized_in_other_writings(value: str, choices: tuple[str, ...], clean: str) -> None:
    assert clean_choice(value, choices) == clean


@pytest.mark.parametrize("value", ["", "-", "prod", "stages"])
def test_an_unknown_choice_lists_the_known_ones(value: str) -> None:
    with pytest.raises(ValidationError, match="on-premise, hybrid, hosted"):
        clean_choice(value, DEPLOYMENT)


def test_yes_and_no_are_understood_in_the_languages_of_spreadsheets() -> None:
    assert all(map(clean_yes_no, ["yes", "Y", "TRUE", "1", "oui", "O", "vrai", " x ", "WAHR", "Ja", "1.0"]))
    assert not any(map(clean_yes_no, ["no", "N", "false", "0", "Non", "faux", "FALSCH", "nein", "0,0"]))
    with pytest.raises(ValidationError):
        clean_yes_no("maybe")


def test_a_fingerprint_is_the_one_of_ssh_keygen() -> None:
    assert clean_host_key_fingerprint(f" {KEY} ") == KEY
    for written in (
        "sha256:" + "A" * 43 + "=",
        "A" * 43,
        f"256 {KEY} root@app-1 x (ED25519)",
        KEY[:20] + "\n " + KEY[20:],
    ):
        assert clean_host_key_fingerprint(written) == KEY


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("MD5:00:11:22", "MD5"),
        ("00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff", "MD5"),
        ("2048 MD5:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff root@a (RSA)", "MD5"),
        ("A" * 42, "43 characters"),
        ("SHA256:" + "A" * 42, "43 characters"),
        ("SHA256:" + "A" * 44, "43 characters"),
        ("SHA256:" + "A" * 42 + "B", "43 characters"),
        ("SHA1:" + "A" * 27, "43 characters"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "43 characters"),
    ],
)
def test_what_is_no_fingerprint_says_what_one_is(value: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        clean_host_key_fingerprint(value)
