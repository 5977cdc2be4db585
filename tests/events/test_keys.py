"""Events that share run and event number are found, whatever their order, in little memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.events.columns import EventKeys
from k4calofast.events.keys import SeenKeys


def keys_of(numbers, place=0):
    run, event = np.array(numbers, np.uint64).reshape(-1, 2).T
    places = place + np.arange(len(run), dtype=np.uint64)
    return EventKeys(run.astype(np.uint32), event, place=places)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=40), st.integers(1, 7))
def test_every_event_with_the_numbers_of_an_earlier_one_is_counted(numbers, size):
    seen = SeenKeys()
    for start in range(0, len(numbers), size):
        chunk = keys_of(numbers[start : start + size], start)
        seen.add(chunk, np.arange(len(chunk)))
    earlier = [numbers.index(number) for number in numbers]
    repeats = [place for place, first in enumerate(earlier) if first < place]
    assert seen.repeated == len(repeats)
    if repeats:
        first = repeats[0]
        assert seen.first_pair == (*numbers[first], earlier[first], first)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_only_events_with_something_random_count(events):
    seen = SeenKeys()
    keys = keys_of([(1, number) for number, _ in events])
    seen.add(keys, np.flatnonzero([counts for _, counts in events]))
    used = [number for number, counts in events if counts]
    assert seen.repeated == len(used) - len(set(used))


def test_events_in_order_need_no_memory_of_their_own():
    seen = SeenKeys()
    for start in range(0, 5000, 500):
        chunk = keys_of([(1, number) for number in range(start, start + 500)], start)
        assert not seen.add(chunk, np.arange(500))
    assert [len(spans) for spans in seen._spans.values()] == [1]
