from __future__ import annotations

import math
import os
import time
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.errors import InputError, ValueRefusedError
from topologies.files import SUFFIXES, TopologyFileError, dumps, load, parse, read, save
from topologies.model import NODE_KINDS, LinkCapability, Node, QuantumLink, Topology, WiredLink, WirelessLink

DATA = Path(__file__).parent / "data"

texts = st.text(max_size=12).filter(lambda text: text.isprintable() and text == text.strip())
awkward = st.sampled_from(
    ["no", "0", "010", "1e5", "null", "~", "<<", "1_0", "a: b", "# x", '"', "&amp;", "é", "[", "ü\u4e2d"]
)
names = (texts | awkward).filter(bool)
positive = st.floats(1e-300, 1e300)
rates = st.integers(1, 10**15)
delays = st.floats(0, 1e300) | st.integers(0, 10**12).map(lambda ns: ns / 10**9)


@st.composite
def nodes(draw: st.DrawFn, name: str) -> Node:
    placed = draw(st.booleans())
    return Node(
        name,
        draw(st.sampled_from(NODE_KINDS)),
        draw(texts | awkward),
        latitude=draw(st.floats(-90, 90)) if placed else None,
        longitude=draw(st.floats(-180, 180)) if placed else None,
        interfaces=tuple(draw(st.lists(st.sampled_from(["eth0", "0", "no"]), max_size=2))),
        communication_qubits=draw(st.integers(0, 10**6)),
        storage_qubits=draw(st.integers(0, 3)),
    )


@st.composite
def links(draw: st.DrawFn, ids: list[str]) -> WiredLink | WirelessLink | QuantumLink:
    a, b = draw(st.lists(st.sampled_from(ids), min_size=2, max_size=2, unique=True))
    optional = st.none() | st.floats(0, 1e9)
    kind = draw(st.sampled_from("wxq"))
    if kind == "w":
        back = draw(st.none() | rates)
        loss = draw(st.floats(0, 1))
        delay = draw(delays)
        length = draw(optional)
        return WiredLink(a, b, draw(rates), "", back, delay, loss, length, draw(texts), draw(awkward))
    if kind == "x":
        power = draw(st.none() | st.floats(-300, 300))
        snr = draw(st.floats(-300, 300))
        return WirelessLink(
            a, b, draw(positive), draw(positive), "", snr, draw(optional), power, delay_s=draw(delays)
        )
    points = st.builds(LinkCapability, st.floats(0.01, 1), positive)
    return QuantumLink(
        a, b, draw(positive), capabilities=tuple(draw(st.lists(points, max_size=2))), table=draw(texts)
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    ids = draw(st.lists(names, max_size=4, unique=True))
    made = [draw(nodes(name)) for name in ids]
    joined = draw(st.lists(links(ids), max_size=4)) if len(ids) > 1 else []
    return Topology(
        made, joined, name=draw(texts | awkward), description=draw(texts).replace("  ", " ").strip()
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(topology=topologies())
def test_what_is_written_reads_as_an_equal_topology(suffix: str, topology: Topology):
    assert parse(dumps(topology, suffix), suffix, "x").topology == topology


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=st.text(alphabet='{}[]":,-&*!|>#% \n<>=/ab0.', max_size=60), suffix=st.sampled_from(SUFFIXES))
def test_any_text_gives_a_topology_or_the_one_error(text: str, suffix: str):
    try:
        parse(text, suffix, "x")
    except TopologyFileError as error:
        assert str(error).startswith("x: ")  # noqa: PT017


def test_every_field_has_its_unit_spelled_in_yaml():
    topology = Topology([Node("a"), Node("b")], [WiredLink("a", "b", 1_500_000, delay_s=0.005)])
    assert "{kind: wired, ends: [a, b], rate: 1.5mbit, id: a--b, delay: 5ms}" in dumps(topology, ".yaml")


def wrap(link: str) -> str:
    return f"schema: 1\nnodes: [{{id: a}}, {{id: b}}]\nlinks:\n- {{ends: [a, b], {link}}}\n"


def test_rates_and_delays_may_be_plain_si_numbers_and_ids_whole_numbers():
    text = "schema: 1\nnodes: [{id: 0}, {id: 1}]\nlinks: [{kind: wired, ends: [0, 1], rate: 1e6, delay: 0.5}]"
    link = parse(text, ".yaml", "x").topology.links["0--1"]
    assert (link.rate_bps, link.delay_s) == (1_000_000, 0.5)  # type: ignore[union-attr]


def test_anchors_and_merge_keys_spare_repetition():
    text = """schema: 1
nodes: [{id: a}, {id: b}, {id: c}]
links:
- &fast {kind: wired, ends: [a, b], rate: 1gbit, delay: 1ms}
- {<<: *fast, ends: [b, c], rate: 2gbit}
"""
    link = parse(text, ".yaml", "x").topology.links["b--c"]
    assert (link.rate_bps, link.delay_s) == (2 * 10**9, 0.001)  # type: ignore[union-attr]


def test_the_demands_section_is_handed_on_and_kept_out_of_the_topology():
    loaded = parse("schema: 1\nnodes: [{id: a}]\ndemands: [{anything: goes}]", ".yaml", "x")
    assert loaded.demands == [{"anything": "goes"}]
    assert list(loaded.topology.nodes) == ["a"]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("[1, 2]", "expected a mapping with the keys schema"),
        ("schema: 1\nnodes: [", "line 2: expected YAML"),
        ("schema: 1\nschema: 1\nnodes: []", "line 2: the key 'schema' occurs twice"),
        ("schema: 2\nnodes: []", "line 1, schema: expected 1 (the version of this schema), got 2"),
        ("nodes: []", "schema: this key is required"),
        ("schema: 1\nnodes: []\nextra: 1", "line 3, extra: unknown key"),
        (
            "schema: 1\nnodes:\n- {id: a}\n- {id: a}",
            "line 4, nodes[1].id: node 'a' is there already as nodes[0]",
        ),
        ("schema: 1\nnodes: [7]", "line 2, nodes[0]: expected a mapping"),
        ("schema: 1\nnodes: [{id: true}]", "nodes[0].id: expected text (put it in quotes), got True"),
        (
            "schema: 1\nnodes: [{id: a, latitude: .nan, longitude: 1}]",
            "nodes[0].latitude: expected a finite number",
        ),
        (wrap("kind: wired, rate: 5 parsecs"), "line 4, links[0].rate: rate '5 parsecs'"),
        (wrap("kind: wired, rate: -5"), "links[0].rate: expected a whole number from 1"),
        (wrap("kind: wired, rate: .inf"), "links[0].rate: expected a whole number"),
        (wrap("kind: wired"), "links[0].rate: this key is required"),
        (wrap("kind: wired, rate: 1, delay: 5"), ""),
        (wrap("kind: wired, rate: 1, delay: '5'"), "links[0].delay: duration '5' has no unit"),
        (
            wrap("kind: wired, rate: 1, loss_probability: 2"),
            "line 4, links[0].loss_probability: expected a finite",
        ),
        (wrap("kind: wired, rate: 1, colour: red"), "links[0].colour: unknown key"),
        (wrap("kind: magic"), "links[0].kind: expected one of wired, wireless, quantum, got 'magic'"),
        (wrap("kind: wireless, bandwidth_hz: 1, frequency_hz: 1"), "links[0].snr_db: expected given where"),
        (
            wrap("kind: quantum, length_m: 1, capabilities: [{fidelity: 2, rate_per_s: 1}]"),
            "links[0].capabilities[0].fidelity: expected a finite number more than 0 and at most 1, got 2",
        ),
        (
            "schema: 1\nnodes: [{id: a}]\nlinks: [{kind: wired, ends: [a, z], rate: 1}]",
            "there is no node 'z'",
        ),
        (
            "schema: 1\nnodes: [{id: a}]\nlinks: [{kind: wired, ends: [a, a], rate: 1}]",
            "links[0].ends: expected another",
        ),
        (
            "schema: 1\nnodes: [{id: a}]\nlinks: [{kind: wired, ends: [a], rate: 1}]",
            "expected a list of two node ids",
        ),
        ("a: &a [*a]", "an anchor that contains an alias of itself"),
        ("a: *b", "undefined alias"),
        (BOMB, "aliases repeat more than"),
        ("[" * 100_000, "nested more than 32 levels deep"),
        ("!!python/object/apply:os.system ['true']", "is not allowed"),
        ("schema: !!int x", "is not a valid int"),
        ("? [a]\n: b", "expected text as a key"),
        ("<<: 7", "expected a mapping after '<<'"),
        ("--- 1\n--- 2", "expected YAML"),
        ("a: \x01", "expected YAML"),
    ],
)
def test_bad_yaml_is_refused_with_line_key_and_expectation(text: str, expected: str):
    if not expected:
        parse(text, ".yaml", "x.yaml")
        return
    with pytest.raises(TopologyFileError) as refused:
        parse(text, ".yaml", "x.yaml")
    assert expected in str(refused.value)
    assert str(refused.value).startswith("x.yaml: ")


def test_all_problems_are_listed_at_once():
    text = (
        "schema: 1\nnodes:\n- {id: a, kind: toaster}\n- {}\nlinks:\n- {kind: wired, ends: [a, b], rate: x}\n"
    )
    with pytest.raises(TopologyFileError) as refused:
        parse(text, ".yaml", "x")
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "line 3, nodes[0].kind",
        "line 4, nodes[1].id",
        "line 6, links[0].rate",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: expected JSON"),
        ("{", "line 1: expected JSON"),
        ('{"schema": 1, "schema": 1}', "occurs twice"),
        ('{"schema": NaN}', "NaN is no number"),
        ('{"schema": 1e999}', "expected 1"),
        ('{"schema": ' + "9" * 5000 + "}", "x: "),
        ("[" * 100_000, "nested more than 32"),
        ('{"schema": 1, "nodes": [{"id": "\\ud800"}]}', "printable"),
        ('"' + '\\"' * 100_000, "expected JSON"),
        ('{"schema": 1, "nodes": [{"id": "a", "latitude": 1e999, "longitude": 0}]}', "nodes[0].latitude"),
    ],
)
def test_bad_json_is_refused(text: str, expected: str):
    with pytest.raises(TopologyFileError) as refused:
        parse(text, ".json", "x")
    assert expected in str(refused.value)


def graphml(body: str, keys: str = "") -> str:
    return f"<graphml>\n{keys}<graph>{body}</graph></graphml>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected XML"),
        ("<a/>", "expected <graphml>"),
        ("<graphml/>", "expected a <graph>"),
        ('<!DOCTYPE graphml [<!ENTITY a "b">]><graphml/>', "DOCTYPE is not allowed"),
        (graphml("<node/>"), "line 2: <node> needs the attribute 'id'"),
        (graphml("<node id='a'/>\n<node id='a'/>"), "line 3: node 'a' is there already on line 2"),
        (graphml("<edge source='a' target='b'/>"), "node 'a', which does not exist"),
        (graphml("<node id='a'><data key='k'>1</data></node>"), "'k' is not declared"),
        (graphml("<graph/>"), "expected one <graph>"),
        (graphml("<hyperedge/>"), "<hyperedge> is not supported"),
        (graphml("<node id=' '/>"), "line 2: id must be"),
        (
            graphml("<data key='k'>x</data>", "<key id='k' for='graph' attr.name='n' attr.type='int'/>"),
            "n: expected a value of type int, got 'x'",
        ),
        (
            graphml(
                "<data key='k'>9</data><node id='a'/>", "<key id='k' attr.name='qos_schema' attr.type='int'/>"
            ),
            "schema: expected 1",
        ),
        ("<graphml>" + "<a>" * 10_000, "nested more than 32"),
        ("<graphml><graph></graphml>", "line 1: expected XML: mismatched tag"),
    ],
)
def test_bad_graphml_is_refused(text: str, expected: str):
    with pytest.raises(TopologyFileError) as refused:
        parse(text, ".graphml", "x")
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected one 'graph [ ... ]', found 0"),
        ("graph [", "ends in the middle"),
        ("graph", "ends in the middle"),
        ("graph [ ] ]", "line 1: expected a key, found ']'"),
        ("graph [ node 7 ]", "expected 'node [ ... ]'"),
        ("graph [ node [ ] ]", "the node needs the key 'id'"),
        ("graph [\nnode [ id 1 ]\nnode [ id 1 ] ]", "line 3: node '1' is there already on line 2"),
        ("graph [ edge [ source 1 target 2 ] ]", "node '1', which does not exist"),
        ("graph [ x \x00 ]", "line 1: expected GML"),
        ("graph [ x ] ]", "expected a value after 'x'"),
        ("a [ " * 100_000, "nested more than 32"),
        ("x " + "9" * 5000, "more than 400 digits"),
        (
            'graph [ qos_schema 1 node [ id 0 label "a" ] node [ id 0 label "b" ] ]',
            "the node id 0 occurs twice",
        ),
        ('graph [ qos_schema 1 node [ id 0 label "a" oops 1 ] ]', "line 1, nodes[0].oops: unknown key"),
    ],
)
def test_bad_gml_is_refused(text: str, expected: str):
    with pytest.raises(TopologyFileError) as refused:
        parse(text, ".gml", "x")
    assert expected in str(refused.value)


@pytest.mark.parametrize("name", ["zoo_oddities.gml", "zoo_oddities.graphml"])
def test_topology_zoo_files_load_with_all_their_oddities(name: str):
    loaded = read(DATA / name)
    topology = loaded.topology
    assert topology.name == "Odd & Old"
    assert [(node.id, node.label) for node in topology.nodes.values()] == [
        ("0", "Town"),
        ("1", "Town"),
        ("2", "None"),
    ]
    assert [node.latitude for node in topology.nodes.values()] == [52.0, 52.0, None]
    rates_bps = [link.rate_bps for link in topology.links.values() if isinstance(link, WiredLink)]
    assert rates_bps == [2_500_000_000, 155_000_000, 1_000_000_000]
    assert loaded.notes == (
        "1 of 3 links name no speed: 1gbit assumed",
        "1 edges from a node to itself left out",
    )
    first, _, last = topology.links.values()
    # 68.46 km along the great circle (one degree of longitude at 52 degrees north).
    assert math.isclose(first.delay_s, 68_456 / (299_792_458 * 2 / 3), rel_tol=1e-3)  # type: ignore[union-attr]
    assert last.delay_s == 0  # type: ignore[union-attr]


def test_networkx_reads_the_graphml_and_gml_that_we_write(tmp_path: Path):
    topology = load("campus")
    for suffix, reader in ((".graphml", nx.read_graphml), (".gml", nx.read_gml)):
        save(topology, tmp_path / f"x{suffix}")
        graph = reader(tmp_path / f"x{suffix}")
        assert sorted(graph) == sorted(topology.nodes)
        assert graph.number_of_edges() == len(topology.links)
        assert {kind for _, _, kind in graph.edges(data="kind")} == {"wired", "wireless", "quantum"}


def test_a_file_that_exists_is_kept_unless_overwrite_says_so(tmp_path: Path):
    target = tmp_path / "x.yaml"
    target.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        save(load("star"), target)
    assert target.read_text() == "mine"
    save(load("star"), target, overwrite=True)
    assert load(target) == load("star")
    assert os.listdir(tmp_path) == ["x.yaml"]


def test_saving_where_nothing_can_be_written_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        save(load("star"), tmp_path / "none" / "x.yaml")
    with pytest.raises(ValueRefusedError, match="unknown suffix"):
        save(load("star"), tmp_path / "x.toml")


def test_unusable_paths_are_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"a: b\n\xff\xfe\x00")
    for name, expected in [
        ("pipe.yaml", "regular file"),
        ("folder.yaml", "regular file"),
        ("none.yaml", "No such file"),
        ("bytes.yaml", "line 2: expected UTF-8"),
        ("x.toml", "unknown suffix"),
    ]:
        with pytest.raises(InputError, match=expected):
            load(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_too_large_are_refused_before_they_are_read(tmp_path: Path, suffix: str):
    path = tmp_path / f"x{suffix}"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)
    with pytest.raises(TopologyFileError, match="64 MiB"):
        load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("unit", ["[", "{", "<a>", "- ", "a [ ", '"', "\x00"])
def test_megabytes_of_nesting_are_refused_quickly(tmp_path: Path, suffix: str, unit: str):
    path = tmp_path / f"x{suffix}"
    path.write_text(unit * (6_000_000 // len(unit)))
    start = time.process_time()
    with pytest.raises(TopologyFileError):
        load(path)
    assert time.process_time() - start < 5  # a hang guard, no measurement
