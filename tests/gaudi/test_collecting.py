"""Requests of threads that run together: each gets its own answer, whatever the company."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.gaudi.collecting import Collector


@settings(max_examples=20)
@given(
    st.lists(st.integers(), max_size=60),
    st.integers(1, 8),
    st.integers(1, 10),
    st.sampled_from([0, 1e-3]),
)
def test_every_request_gets_its_own_result(requests, threads, most, wait):
    sizes = []

    def run(batch):
        sizes.append(len(batch))
        return [request * 2 for request in batch]

    collector = Collector(run, most, wait)
    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(collector.submit, requests)) == [2 * number for number in requests]
    assert sum(sizes) == len(requests)
    assert max(sizes, default=0) <= min(most, threads)


def test_requests_that_come_while_others_run_share_the_next_run():
    entered, go = threading.Event(), threading.Event()
    batches = []

    def run(batch):
        batches.append(sorted(batch))
        entered.set()
        assert go.wait(30)
        return batch

    collector = Collector(run, 10, 30.0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(collector.submit, 0)
        assert entered.wait(30)
        others = [pool.submit(collector.submit, number) for number in (1, 2, 3)]
        while len(collector._waiting) < 3:
            pass
        # The first was alone; its end must not make the three wait for a fourth.
        collector._expected = 3
        go.set()
        assert [future.result(30) for future in (first, *others)] == [0, 1, 2, 3]
    assert batches == [[0], [1, 2, 3]]


def test_who_comes_alone_does_not_wait():
    collector = Collector(lambda batch: batch, 10, 1e9)
    assert [collector.submit(number) for number in range(100)] == list(range(100))


def test_an_error_is_that_of_its_request_alone():
    def run(batch):
        if 3 in batch:
            raise ValueError("three")
        return batch

    collector = Collector(run, 10, 1e-2)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(collector.submit, number) for number in range(8)]
    for number, future in enumerate(futures):
        if number == 3:
            with pytest.raises(ValueError, match="three"):
                future.result()
        else:
            assert future.result() == number
    # And the next ones are served.
    assert collector.submit(9) == 9
