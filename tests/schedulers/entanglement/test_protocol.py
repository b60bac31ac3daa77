"""The protocol search and the mapping, judged by an evaluator and a judge that share no code with them."""

from __future__ import annotations

import density
import protocol_judge
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedulers.entanglement.mapping import map_to_qubits
from schedulers.entanglement.operations_graph import operation_graph
from schedulers.entanglement.protocol import VARIANTS, Chain, ProtocolSearch, SearchOptions, Variant
from schedulers.entanglement.steps import relabel
from topologies.links import LinkCapability

SLOT_S = 0.01

points = st.lists(
    st.builds(LinkCapability, st.floats(0.55, 0.999), st.floats(5.0, 2000.0)), min_size=1, max_size=3
).map(tuple)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    links = draw(st.integers(1, 4))
    nodes = st.lists(st.integers(1, 2), min_size=links + 1, max_size=links + 1).map(tuple)
    storage = st.lists(st.integers(0, 3), min_size=links + 1, max_size=links + 1).map(tuple)
    capabilities = tuple(draw(points) for _ in range(links))
    return Chain(capabilities, draw(nodes), draw(storage))


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=60)
@given(chain=chains(), target=st.floats(0.51, 0.98))
def test_every_protocol_found_is_sound_and_delivers_the_fidelity(
    variant: Variant, chain: Chain, target: float
) -> None:
    found = ProtocolSearch(SearchOptions(variant)).find(chain, target)
    if found is None:
        return
    assert density.fidelity_of(found) >= target - 1e-9
    assert found.fidelity == pytest.approx(density.fidelity_of(found))
    names = [f"n-{i}" for i in range(len(chain.communication_qubits))]
    counts = dict(zip(names, zip(chain.communication_qubits, chain.storage_qubits, strict=True), strict=True))
    mapped = map_to_qubits(operation_graph(relabel(found, dict(enumerate(names))), SLOT_S), counts)
    assert mapped is not None
    assert protocol_judge.complaints(mapped, counts, names[0], names[-1]) == []
    if found.kind != "link":
        assert 1 / found.rate_per_s == pytest.approx(mapped.exec_slots * SLOT_S)


@settings(max_examples=60)
@given(chain=chains(), target=st.floats(0.51, 0.98))
def test_the_complete_search_is_never_slower_than_the_papers(chain: Chain, target: float) -> None:
    paper = ProtocolSearch(SearchOptions("paper")).find(chain, target)
    complete = ProtocolSearch(SearchOptions("complete")).find(chain, target)
    if paper is not None:
        assert complete is not None
        assert complete.rate_per_s >= paper.rate_per_s * (1 - 1e-12)


def test_the_search_gives_the_same_cold_and_warm() -> None:
    """The published code's cache made results depend on what was asked before; here they do not."""
    nv = (LinkCapability(0.88, 14.0), LinkCapability(0.79, 28.0), LinkCapability(0.66, 45.0))
    cases = [(links, target) for links in (1, 2, 3, 4) for target in (0.6, 0.7, 0.8)]
    warm = ProtocolSearch()
    forward = {case: warm.find(chain_of(nv, case[0]), case[1]) for case in cases}
    for case in reversed(cases):
        assert ProtocolSearch().find(chain_of(nv, case[0]), case[1]) == forward[case]


def chain_of(capabilities: tuple[LinkCapability, ...], links: int, storage: int = 3) -> Chain:
    return Chain((capabilities,) * links, (1,) * (links + 1), (storage,) * (links + 1))


def test_the_paper_forgets_candidates_when_storage_runs_out_and_complete_does_not() -> None:
    good = (LinkCapability(0.95, 50.0),)
    chain = chain_of(good, 2, storage=1)
    # The end nodes have one storage qubit; with none left for pumping the paper gives up the plain swap.
    bare = Chain(chain.capabilities, (1, 1, 1), (0, 1, 0))
    assert ProtocolSearch(SearchOptions("paper")).find(bare, 0.85) is None
    found = ProtocolSearch(SearchOptions("complete")).find(bare, 0.85)
    assert found is not None
    assert found.kind == "swap"


def test_a_link_that_is_good_enough_is_taken_as_it_is() -> None:
    offers = (LinkCapability(0.9, 10.0), LinkCapability(0.8, 20.0), LinkCapability(0.6, 40.0))
    found = ProtocolSearch().find(chain_of(offers, 1), 0.75)
    assert found is not None
    assert (found.kind, found.fidelity, found.rate_per_s) == ("link", 0.8, 20.0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_no_distillation_reaches_is_not_found(variant: Variant) -> None:
    search = ProtocolSearch(SearchOptions(variant))
    poor = (LinkCapability(0.5, 1000.0),)
    assert search.find(chain_of(poor, 1), 0.6) is None
    assert search.find(chain_of((LinkCapability(0.9, 10.0),), 1, storage=0), 0.95) is None
    assert search.find(chain_of((LinkCapability(0.9, 10.0),), 2), 1.0) is None
    assert search.find(Chain(((),), (1, 1), (3, 3)), 0.6) is None
    assert search.find(Chain(((LinkCapability(0.9, 10.0),),), (0, 1), (3, 3)), 0.6) is None


@settings(max_examples=60)
@given(chain=chains(), target=st.floats(0.51, 0.999))
def test_the_bound_on_the_fidelity_holds(chain: Chain, target: float) -> None:
    search = ProtocolSearch()
    found = search.find(chain, target)
    assert found is None or found.fidelity <= search.fidelity_bound(chain) + 1e-9
