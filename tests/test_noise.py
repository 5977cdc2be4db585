"""Noise belongs to a particle: a pure function of seed, run, event and particle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.noise import cell_words, normal_noise, philox, uniform_noise

U32 = st.integers(0, 0xFFFFFFFF)


def words(*values):
    return tuple(np.array([value], np.uint32) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(counter, key, expected):
    assert philox(words(*counter), words(*key))[0].tolist() == list(expected)


def draw(seed, run, event, particle, size=122, noise=normal_noise, region=0):
    return noise(
        np.array(seed, np.uint64),
        np.atleast_1d(np.array(run, np.uint32)),
        np.atleast_1d(np.array(event, np.uint64)),
        np.atleast_1d(np.array(particle, np.uint64)),
        size,
        region,
    )


@given(st.integers(0, (1 << 64) - 1), U32, st.integers(0, (1 << 64) - 1), U32, st.integers(1, 300))
def test_noise_does_not_depend_on_what_else_is_drawn(seed, run, event, particle, size):
    alone = draw(seed, run, event, particle, size)[0]
    among = draw(seed, [7, run, run, 3], [1, event ^ 1, event, 2], [0, particle, particle, 5], size)
    assert alone.dtype == np.float32
    assert (among[2] == alone).all()
    assert (among[1] != alone).any()


@pytest.mark.parametrize("noise", [normal_noise, uniform_noise])
@pytest.mark.parametrize("size", [0, 1, 4, 5])
@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_nothing_may_be_asked_for(noise, count, size):
    nobody = np.zeros(count, np.uint64)
    drawn = noise(nobody, nobody.astype(np.uint32), nobody, nobody, size)
    assert (drawn.shape, drawn.dtype) == ((count, size), np.float32)


def test_each_part_of_the_key_matters():
    base = draw(1, 1, 1, 1)
    others = [(2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)]
    others += [(1 << 32, 1, 1, 1), (1, 1, 1 << 32, 1), (1, 1, 1, 1 << 32 | 1)]
    for other in others:
        assert (draw(*other) != base).mean() > 0.99
    # Run and event do not trade places.
    assert (draw(1, 2, 1, 1) != draw(1, 1, 2, 1)).mean() > 0.99


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (normal_noise, [0xBF45896D, 0x3FB49F48, 0xBF4EF142]),
        (uniform_noise, [0x3EFECCA9, 0x3F3D21B4, 0x3ED5DBF9]),
    ],
)
def test_noise_without_a_region_has_the_bits_that_it_always_had(noise, expected):
    drawn = draw((1 << 40) + 5, 7, (1 << 33) + 3, 11, 3, noise)
    if noise is uniform_noise:
        assert drawn[0].view(np.uint32).tolist() == expected
    # Logarithms and cosines may round differently on other machines.
    assert drawn[0] == pytest.approx(np.array(expected, np.uint32).view(np.float32), rel=1e-6)


@pytest.mark.parametrize("noise", [normal_noise, uniform_noise])
@given(st.tuples(U32, U32, U32, U32), U32, U32, st.integers(1, 40))
def test_noise_of_a_region_depends_on_nothing_but_the_region(noise, key, region, other, size):
    drawn = draw(*key, size, noise, region)
    among = draw(*key, size, noise, np.array([other, region, 0]))
    assert (among[1] == drawn[0]).all()
    assert (among[2] == draw(*key, size, noise)[0]).all()
    assert (among[0] == among[1]).all() == (other == region)


@pytest.mark.parametrize("noise", [normal_noise, uniform_noise])
def test_run_and_region_do_not_trade_places(noise):
    assert (draw(1, 2, 1, 1, 122, noise, 3) != draw(1, 3, 1, 1, 122, noise, 2)).mean() > 0.99


def test_noise_is_normal_and_independent():
    n = 20_000
    noise = draw(5, np.zeros(n), np.arange(n), np.zeros(n), 8).astype(np.float64)
    error = 5 / np.sqrt(n)
    assert np.abs(noise.mean(0)).max() < error
    assert np.abs(noise.var(0) - 1).max() < error * np.sqrt(2)
    assert np.abs((noise**3).mean(0)).max() < error * np.sqrt(15)
    assert np.abs((noise**4).mean(0) - 3).max() < error * np.sqrt(96)
    correlation = np.corrcoef(noise.T) - np.eye(8)
    assert np.abs(correlation).max() < error
    # Neighbouring events and neighbouring particles, too.
    assert np.abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < error


@given(st.integers(0, (1 << 64) - 1), U32, st.integers(0, (1 << 64) - 1), st.integers(2, 50))
def test_bits_of_a_cell_do_not_depend_on_other_events_and_cells(seed, run, event, size):
    def bits(run, event, size=size, region=5, seed=seed):
        return cell_words(
            np.array(seed, np.uint64),
            np.atleast_1d(np.array(run, np.uint32)),
            np.atleast_1d(np.array(event, np.uint64)),
            size,
            region,
        )

    alone = bits(run, event)[0]
    assert alone.dtype == np.uint64
    among = bits([run ^ 1, run, run], [event, event ^ 1, event])
    assert (among[2] == alone).all()
    assert bits(run, event, size - 1)[0].tolist() == alone[:-1].tolist()
    others = [*among[:2], bits(run, event, region=6)[0], bits(run, event, seed=seed ^ 1)[0]]
    assert all((other != alone).any() for other in others)


def test_bits_of_cells_never_change():
    """Philox4x64-10 of numpy for seed 3, run 5, event 7, and no region."""
    drawn = cell_words(np.uint64(3), np.full(1, 5, np.uint32), np.full(1, 7, np.uint64), 2)
    assert drawn[0].tolist() == [6103101688522706653, 4541513958934965825]
