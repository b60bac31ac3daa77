"""Traffic matrices: CSV as a list and as a square, SNDlib's XML, and every bad row with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.errors import InputError, ValueRefusedError
from qos.scenarios import ScenarioError, load
from qos.traffic_matrix import TrafficFileError, read_traffic

SNDLIB = """<?xml version="1.0" encoding="ISO-8859-1"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0">
 <networkStructure>
  <nodes><node id="München"><coordinates><x>11.5</x><y>48.1</y></coordinates></node></nodes>
  <links><link id="L1"><source>München</source><target>Köln</target></link></links>
 </networkStructure>
 <demands>
  <demand id="D1">
   <source>München</source>
   <target>Köln</target>
   <routingUnit>2</routingUnit>
   <demandValue>17.5</demandValue>
  </demand>
  <demand id="D2"><source>Köln</source><target>München</target><demandValue>0.00</demandValue></demand>
 </demands>
</network>
"""


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def problems(path: Path, **options: object) -> tuple[str, ...]:
    with pytest.raises(TrafficFileError) as caught:
        read_traffic(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return caught.value.problems


def test_a_list_carries_every_figure_of_a_demand(tmp_path: Path) -> None:
    text = (
        "# office\nsrc,dst,rate,profile,delay,loss,priority,name\n"
        "a,b,2mbit,,10ms,0.01,2,one\n\nb,a,64000,voice,,,,\n"
    )
    first, second = read_traffic(write(tmp_path, "m.csv", text))
    assert (first.source, first.destination, first.rate_bps, first.name) == ("a", "b", 2e6, "one")
    assert (first.delay_bound_s, first.loss, first.priority) == (0.01, 0.01, 2)
    assert (second.rate_bps, second.profile, second.delay_bound_s) == (64e3, "voice", 0.1)


def test_a_square_asks_for_its_cells_that_are_not_zero(tmp_path: Path) -> None:
    path = write(tmp_path, "m.csv", "x,a,b,c\na,0,1,2.5\nb,,0,1mbit\nc,4,0,0\n")
    found = read_traffic(path, unit_bps=1e6, profile="streaming-video")
    assert [(d.source, d.destination, d.rate_bps) for d in found] == [
        ("a", "b", 1e6),
        ("a", "c", 2.5e6),
        ("b", "c", 1e6),
        ("c", "a", 4e6),
    ]
    assert {d.dscp for d in found} == {"AF31"}


def test_sndlib_counts_routing_units_in_megabits(tmp_path: Path) -> None:
    path = write(tmp_path, "net.xml", SNDLIB, "iso-8859-1")
    (demand,) = read_traffic(path, nodes={"München", "Köln"})
    assert (demand.source, demand.destination, demand.name) == ("München", "Köln", "D1")
    assert demand.rate_bps == 35e6
    assert read_traffic(path, unit_bps=1e3)[0].rate_bps == 35e3


def test_sndlib_says_its_unit_in_meta(tmp_path: Path) -> None:
    named = SNDLIB.replace("<networkStructure>", "<meta><unit>GBITPERSEC</unit></meta><networkStructure>")
    assert read_traffic(write(tmp_path, "a.xml", named, "iso-8859-1"))[0].rate_bps == 35e9
    strange = named.replace("GBITPERSEC", "PARSEC")
    assert "'PARSEC' is unknown" in problems(write(tmp_path, "b.xml", strange, "iso-8859-1"))[0]


def test_every_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    text = (
        "source,destination,rate,loss,colour\n"
        "a,b,fast,,\n"
        "a,a,1mbit,,\n"
        "a,b,1mbit,much,\n"
        "a,b\n"
        "a,b,1mbit,,red\n"
        "a,x,1mbit,,\n"
        "a,b,-3,,\n"
        "a,b,1mbit,2,\n"
        ",b,1mbit,,\n"
    )
    found = problems(write(tmp_path, "m.csv", text), nodes={"a", "b"})
    lines = {int(problem.split(":")[0].removeprefix("line ")) for problem in found}
    assert lines == set(range(2, 11))
    assert any("no node 'x'" in problem for problem in found)
    assert any("'colour'" in problem for problem in found)
    assert any("loss: expected a number, got 'much'" in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected a header"),
        ("source,destination\na,b\n", "expected a column rate"),
        ("source,destination,rate,rate\na,b,1,1\n", "'rate' occurs twice"),
        ("source,destination,rate\n", "holds no demand"),
        ("x,a,a\na,1,2\n", "each once"),
        ("x,a,b\na,1\n", "line 2: expected 3 cells"),
        ("x,a,b\na,0,1\na,0,1\n", "there already on line 2"),
        ("x,a,b\na,0,nan\n", "line 2: to b: must be a finite number"),
        ("x,a,b\na,3,1\n", "line 2: destination must be another node"),
        ('x,a,b\na,"0"1,2\n', "expected CSV"),
    ],
)
def test_a_csv_that_is_no_matrix_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in problems(write(tmp_path, "m.csv", text)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<network>", "line 1: expected XML"),
        (
            '<?xml version="1.0" encoding="UF-8"?><network/>',
            "line 1: expected XML in UTF-8: unknown encoding",
        ),
        ('<?xml version="1.0" encoding="utf-7"?><network/>', "line 1: expected XML in UTF-8: multi-byte"),
        ("<graphml/>", "expected SNDlib's <network>"),
        ("<network/>", "holds no demand"),
        ("<network><demands><demand id='D'><source>a</source></demand></demands></network>", "<target>"),
        (SNDLIB.replace("17.5", "some").replace("ISO-8859-1", "UTF-8"), "line 8: demandValue: expected"),
        (SNDLIB.replace("17.5", "-1").replace("ISO-8859-1", "UTF-8"), "rate_bps"),
        (
            SNDLIB.replace("<target>Köln", "<source>x</source><target>Köln", 2).replace(
                "ISO-8859-1", "UTF-8"
            ),
            "<source> occurs twice",
        ),
        ("<a>" * 40, "expected SNDlib's <network>"),
        ("<network>" + "<a>" * 40, "nested more than"),
    ],
)
def test_a_broken_sndlib_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in problems(write(tmp_path, "m.xml", text)))


def test_entity_bombs_are_refused_before_they_grow(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "ha"}">' for i in range(9))
    bomb = f"<!DOCTYPE network [{entities}]><network>&e8;</network>"
    (problem,) = problems(write(tmp_path, "m.xml", bomb))
    assert "DOCTYPE is not allowed" in problem
    outside = '<!DOCTYPE network SYSTEM "file:///etc/passwd"><network/>'
    assert "DOCTYPE is not allowed" in problems(write(tmp_path, "n.xml", outside))[0]


def test_wrong_options_and_places_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "m.csv", "x,a,b\na,0,1\nb,1,0\n")
    with pytest.raises(ValueRefusedError, match="profile 'opera' is unknown"):
        read_traffic(path, profile="opera")
    with pytest.raises(ValueRefusedError, match="unit_bps"):
        read_traffic(path, unit_bps=0.0)
    with pytest.raises(InputError, match=r"expected a traffic matrix, \.csv or \.xml"):
        read_traffic(tmp_path / "m.txt")
    with pytest.raises(TrafficFileError, match="cannot be read"):
        read_traffic(tmp_path / "absent.csv")
    assert problems(path, nodes={"a"})[0].startswith("line 2: destination: the topology has no node 'b'")


@given(st.binary(max_size=400))
def test_no_bytes_cause_anything_but_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for suffix in ("csv", "xml"):
        path = folder / f"m.{suffix}"
        path.write_bytes(data)
        try:
            found = read_traffic(path)
        except InputError:
            continue
        assert all(demand.rate_bps > 0 for demand in found)


def test_a_scenario_takes_its_demands_from_a_matrix(tmp_path: Path) -> None:
    path = write(tmp_path, "m.csv", "source,destination,rate,profile\nlaptop,phone,64kbit,voice\n")
    (flow,) = load("campus", path).flows
    assert (flow.name, flow.delay_bound_s) == ("laptop-phone", 0.1)
    bad = write(tmp_path, "n.csv", "source,destination,rate\nlaptop,mars,1mbit\n")
    with pytest.raises(ScenarioError, match=r"n\.csv: line 2: destination: the topology has no node 'mars'"):
        load("campus", bad)
    twice = write(tmp_path, "o.csv", "source,destination,rate,name\nlaptop,phone,1,x\nphone,laptop,1,x\n")
    with pytest.raises(ScenarioError, match=r"o\.csv: the name 'x' is given to two demands"):
        load("campus", twice)
