"""The benchmark suite's own parts: what a ratio and a bar are, the stub engine, the herd."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from benchmarks.measure import BASELINE, RUNNER, Bar, Benchmark, Contenders, Effort, Result, run
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from benchmarks import engines, herd

FULL, SHORT = Effort(5, 1.0, False), Effort(5, 1.0, True)


def measured(ours: list[float], *bars: Bar, effort: Effort = FULL) -> Result:
    """A benchmark whose baseline gives 10 each time, and the runner these figures."""

    @contextlib.contextmanager
    def prepare(effort: Effort) -> Iterator[Contenders]:
        figures = iter(ours)
        yield {BASELINE: lambda: {"x": 10.0}, RUNNER: lambda: {"x": next(figures)}}

    return run(Benchmark("test", "a test", prepare, bars), effort)


def test_a_bar_is_held_against_the_median_ratio() -> None:
    """One round that was disturbed decides nothing."""
    result = measured([22, 21, 1, 23, 22], Bar("x", least=2.0), Bar("x", least=2.5))
    assert result.ratios("x") == pytest.approx([2.2, 2.1, 0.1, 2.3, 2.2])
    assert [bar.least for bar in result.missed()] == [2.5]


def test_a_bar_from_above_is_one_too() -> None:
    """Times and memory are to be small; absolute figures need no baseline."""
    assert not measured([12.0] * 5, Bar("x", most=1.2), Bar("x", most=12, absolute=True)).missed()
    assert measured([12.1] * 5, Bar("x", most=1.2)).missed()
    assert measured([12.1] * 5, Bar("x", most=12, absolute=True)).missed()


def test_a_percentile_sees_the_worst_round() -> None:
    """The p99 of few rounds is their worst."""
    bar = Bar("x", most=5, absolute=True, at=0.99)
    assert not measured([1, 1, 1, 1, 4], bar).missed()
    assert measured([1, 1, 9, 1, 1], bar).missed()


def test_the_short_form_is_lenient() -> None:
    """CI's few rounds on a busy machine are held against lower bars."""
    bar = Bar("x", least=2.0)
    assert measured([17.0] * 5, bar).missed()
    assert not measured([17.0] * 5, bar, effort=SHORT).missed()
    assert measured([14.0] * 5, bar, effort=SHORT).missed()
    seconds = Bar("x", most=0.3, absolute=True, tolerance=None)
    assert measured([0.9] * 5, seconds).missed()
    assert not measured([0.9] * 5, seconds, effort=SHORT).missed()


async def test_the_stub_engine_takes_every_start() -> None:
    """It answers what a client asks at its start, then accepts workflows small and large."""
    with engines.stub() as address:
        client = await Client.connect(address)
        assert await client.service_client.check_health()
        request = DescribeNamespaceRequest(namespace="default")
        answer = await client.workflow_service.describe_namespace(request)
        assert answer.namespace_info.name == "default"
        handles = await asyncio.gather(
            *(
                client.start_workflow("Any", "x" * (number * 300), id=f"w-{number}", task_queue="q")
                for number in range(100)
            )
        )
        assert all(handle.first_execution_run_id for handle in handles)


def test_the_fleets_strategy_spares_a_server() -> None:
    """What the docs recommend keeps the bars for a tenth of the herd too."""
    seen = herd.simulate(herd.STRATEGIES[herd.FLEET], 1000)
    assert len(seen.back) == 1000
    assert seen.mostly_back() <= 9
    assert seen.peak_after() <= herd.CAPACITY * 1.4
    assert seen.peak_during() <= 1
    woken = herd.simulate(herd.STRATEGIES[herd.FLEET], 200, wake=True)
    assert woken.peak_after() > 10 * herd.CAPACITY
