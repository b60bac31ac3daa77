"""What the experiment holds a policy against."""

from dataclasses import replace

import pytest

from experiments.lfq_regret import ALPHAS, COLUMNS, LONGER, judge, longer
from qos.training.scenarios import Ranges, draw_task
from schedulers.packet.limits.lfq.network import first_network

RANGES = Ranges(most_packets=300.0, kinds=("few",))


def test_the_second_run_differs_in_nothing_but_its_delays() -> None:
    task = draw_task(7, 0, RANGES)
    again = longer(task)
    before, after = task.scenario.topology.links, again.scenario.topology.links
    assert [link.delay_s for link in after.values()] == [
        pytest.approx(LONGER * link.delay_s) for link in before.values()
    ]
    links = {name: replace(link, delay_s=before[name].delay_s) for name, link in after.items()}
    assert links == dict(before)
    assert replace(again, scenario=replace(again.scenario, topology=task.scenario.topology)) == task


def test_no_limit_does_better_than_the_best_in_either_run() -> None:
    rows = judge((first_network(1), 7, [0, 1], RANGES))
    assert len(rows) == 2 * len(ALPHAS)
    for row in rows:
        named = dict(zip(COLUMNS, row, strict=True))
        assert float(named["longer_reward"]) <= float(named["longer_best_reward"])
        by_hand = float(named["best_utilisation"]) - float(named["alpha"]) * float(named["best_delay_s"])
        assert float(named["best_reward"]) == pytest.approx(by_hand, abs=2e-5)
