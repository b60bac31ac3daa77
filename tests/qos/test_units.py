"""Rates, durations and sizes: exact, as tc spells them, and never a guess."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.errors import ValueRefusedError
from qos.units import (
    format_duration,
    format_rate,
    format_size,
    is_count,
    parse_duration,
    parse_rate,
    parse_size,
)

WHOLE_NUMBERS = st.integers(-(10**24), 10**24)

PAIRS = pytest.mark.parametrize(
    ("parse", "write"),
    [(parse_rate, format_rate), (parse_duration, format_duration), (parse_size, format_size)],
    ids=["rate", "duration", "size"],
)
PARSERS = pytest.mark.parametrize("parse", [parse_rate, parse_duration, parse_size])


@PAIRS
@given(value=WHOLE_NUMBERS)
def test_what_is_written_is_read_back(
    parse: Callable[[str], int], write: Callable[[int], str], value: int
) -> None:
    assert parse(write(value)) == value


@PAIRS
@given(value=st.integers(0, 10**15))
def test_case_and_outer_blanks_do_not_matter(
    parse: Callable[[str], int], write: Callable[[int], str], value: int
) -> None:
    assert parse(f"  {write(value).upper()}\n") == value


@PARSERS
@given(text=st.text(max_size=80))
def test_any_text_is_read_or_refused_in_one_line(parse: Callable[[str], int], text: str) -> None:
    complaint = ""
    try:
        parse(text)
    except ValueRefusedError as refused:
        complaint = str(refused)
    assert "\n" not in complaint


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("0", 0),
        ("8000", 8_000),
        ("1bit", 1),
        ("1.5mbit", 1_500_000),
        ("0.1mbit", 100_000),
        (".5kbit", 500),
        ("100kbps", 800_000),
        ("1bps", 8),
        ("1kibit", 1_024),
        ("1mibit", 1_048_576),
        ("1gibit", 1_073_741_824),
        ("1kibps", 8_192),
        ("1tbit", 10**12),
        ("1e6bit", 1_000_000),
        ("2.5E2kbit", 250_000),
        ("10 mbit", 10_000_000),
        ("10MBit", 10_000_000),
        ("0.4bit", 0),
        ("0.5bit", 1),
        ("-1mbit", -1_000_000),
    ],
)
def test_rates_are_exact(text: str, rate_bps: int) -> None:
    assert parse_rate(text) == rate_bps


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1514", 1_514),
        ("1514b", 1_514),
        ("15kb", 15_360),
        ("15k", 15_360),
        ("1.5k", 1_536),
        ("1m", 1_048_576),
        ("1mb", 1_048_576),
        ("1g", 1_073_741_824),
        ("8kbit", 1_024),
        ("1mbit", 131_072),
    ],
)
def test_sizes_are_exact(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("0.0", 0),
        ("1ns", 1),
        ("5ms", 5_000_000),
        ("5msec", 5_000_000),
        ("0.1ms", 100_000),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("1.5s", 1_500_000_000),
        ("2secs", 2_000_000_000),
        ("1e-3s", 1_000_000),
        ("0.4ns", 0),
    ],
)
def test_durations_are_exact(text: str, duration_ns: int) -> None:
    assert parse_duration(text) == duration_ns


@PARSERS
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "fast",
        "mbit",
        "ms",
        "1,5mbit",
        "1..5mbit",
        ".",
        "1.5.2s",
        "--5ms",
        "0x10",
        "1_000",
        "inf",
        "nan",
        "infs",
        "10 m bit",
        "10parsec",
        "1e999bit",
        "1e999999999s",
        "9" * 65,
        "١٥ms",  # Arabic-Indic digits, which \d of a Unicode pattern takes
        "１０mbit",  # full-width digits
        "²s",
        "5ms\x00",
        "5\u00a0ms",  # a no-break space
        "5ms; reboot",
    ],
)
def test_what_is_no_quantity_is_refused(parse: Callable[[str], int], text: str) -> None:
    with pytest.raises(ValueRefusedError):
        parse(text)


def test_a_duration_without_a_unit_is_refused_with_both_spellings() -> None:
    with pytest.raises(ValueRefusedError, match=r"'20' has no unit; write 20ms or 20s"):
        parse_duration("20")


def test_an_unknown_unit_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueRefusedError, match=r"unknown unit 'mbits'.*mbit"):
        parse_rate("10mbits")


def test_a_huge_exponent_costs_nothing_and_a_large_one_is_exact() -> None:
    assert parse_rate("1e30bit") == 10**30
    assert parse_duration("1e-99s") == 0


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (format_rate(1_500_000), "1.5mbit"),
        (format_rate(100_000_000), "100mbit"),
        (format_rate(1_234_567), "1234.567kbit"),
        (format_rate(0), "0bit"),
        (format_duration(20_000_000), "20ms"),
        (format_duration(1_500_000_000), "1.5s"),
        (format_duration(-250_000), "-250us"),
        (format_size(15_360), "15kb"),
        (format_size(1_514), "1514b"),
        (format_size(0), "0b"),
    ],
)
def test_quantities_are_written_in_the_unit_a_reader_expects(written: str, text: str) -> None:
    assert written == text


@pytest.mark.parametrize("text", ["0", "7", "000000080", "999999999"])
def test_a_count_is_read(text: str) -> None:
    assert is_count(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", " 1", "1\n", "1_0", "²", "٣", "1000000000", 5000 * "9"]
)
def test_what_is_no_count_is_told_apart(text: str) -> None:
    assert not is_count(text)
