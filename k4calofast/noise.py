"""Noise that belongs to a particle, not to a place in a batch.

Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11,
doi:10.1145/2063384.2063405) turns a key and a counter into random bits, with no state in
between. The key here is made of seed, run and region, the counter of event, particle and the
place in the particle's noise: a shower is the same in any batch, on any thread, in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats32, IDs, Words

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_UNIFORM, _CELLS = 1, 2
"""Tell these numbers from others with the same counter."""


def _low(words: npt.NDArray[np.generic]) -> Words:
    return (words.astype(np.uint64) & _LOW).astype(np.uint32)


def _high(words: npt.NDArray[np.generic]) -> Words:
    return (words.astype(np.uint64) >> _HIGH).astype(np.uint32)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[Words, Words]) -> Words:
    """Philox4x32-10.

    Parameters
    ----------
    counter, key
        Four and two arrays of 32-bit words, broadcast together.

    Returns
    -------
    array
        (..., 4) random words.
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (p1 >> _HIGH) ^ c1 ^ k0,
            p1 & _LOW,
            (p0 >> _HIGH) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0 = (k0 + np.uint64(_WEYL[0])) & _LOW
        k1 = (k1 + np.uint64(_WEYL[1])) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def particle_bits(key: tuple[Words, Words], event: IDs, particle: Words, blocks: int) -> Words:
    """Random bits of N particles.

    Parameters
    ----------
    key
        Two arrays of 32-bit words, that broadcast with (N, blocks).
    event, particle
        (N,) event number (64 bits), and index of the particle in its collection.
    blocks
        Blocks of four 32-bit words per particle.

    Returns
    -------
    array
        (N, blocks, 4).
    """
    return philox(
        (
            np.arange(blocks, dtype=np.uint32)[None, :],
            np.asarray(particle, np.uint32)[:, None],
            _low(event)[:, None],
            _high(event)[:, None],
        ),
        key,
    )


def normal_noise(
    seed: IDs,
    run: Words,
    event: IDs,
    particle: IDs,
    size: int,
    region: npt.ArrayLike = 0,
) -> Floats32:
    """Return standard normal numbers for each of N particles, or of N cells.

    Parameters
    ----------
    seed
        (N,) or one seed for all.
    run, event
        (N,) run and event number.
    particle
        (N,) index of the particle in its collection, or the ID of the cell.
    size
        How many numbers per particle.
    region
        (N,) or one number of 32 bits for all: where, for particles that are simulated in several
        places; see `k4calofast.detector.Calorimeter.noise_key`.

    Returns
    -------
    array
        (N, size); each row depends on nothing but seed, run, event, particle and region.
    """
    seed, run, event, particle, where = np.broadcast_arrays(
        seed, run, event, particle, np.asarray(region, np.uint32)
    )
    last = np.full(1, 0xFFFFFFFF, np.uint32)
    # Run and region enter through the key, which is itself a random function of them and the seed.
    keys = philox((run, _high(particle), where, last), (_low(seed), _high(seed)))
    key = (keys[:, None, 0], keys[:, None, 1])
    blocks = -(-size // 4)
    bits = particle_bits(key, event, _low(particle), blocks).reshape(len(event), 2 * blocks, 2)
    # Box-Muller; the first uniform is in (0, 1], so that its logarithm is finite. In single
    # precision, as the result, which takes a tenth of the time.
    even, odd = (bits[..., place].astype(np.float32) for place in (0, 1))
    radius = np.sqrt(np.float32(-2) * np.log((even + np.float32(1)) * np.float32(2.0**-32)))
    angle = odd * np.float32(2 * np.pi * 2.0**-32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return np.ascontiguousarray(pairs.reshape(len(event), 4 * blocks)[:, :size])


def uniform_noise(
    seed: IDs,
    run: Words,
    event: IDs,
    particle: IDs,
    size: int,
    region: npt.ArrayLike = 0,
) -> Floats32:
    """Return numbers uniform in (0, 1) for each of N particles: many of them, quickly.

    By numpy's Philox4x64-10, whose streams never change; each particle has its own.

    Parameters
    ----------
    seed, run, event, particle, region
        As for `normal_noise`.
    size
        How many numbers per particle.

    Returns
    -------
    array
        (N, size); each row depends on nothing but seed, run, event, particle and region.
    """
    seed, run, event, particle, where = np.broadcast_arrays(
        seed, run, event, particle, np.asarray(region, np.uint32)
    )
    words = -(-size // 2)
    bits = np.empty((len(event), words), np.uint64)
    # One stream that is put to where each particle's numbers are: faster than one for each.
    stream = np.random.Philox(key=0)
    state: Any = stream.state
    place = run.astype(np.uint64) | where.astype(np.uint64) << _HIGH
    for row, numbers in enumerate(
        zip(seed.tolist(), place.tolist(), event.tolist(), particle.tolist(), strict=True)
    ):
        state["state"]["key"][:] = numbers[:2]
        # The lowest word of the counter counts the numbers of one particle.
        state["state"]["counter"][:] = (0, numbers[3], numbers[2], _UNIFORM)
        stream.state = state
        bits[row] = stream.random_raw(words)
    # 24 bits, in the middle of their steps: not 0, and where the last step rounds to 1, less.
    uniform = (bits.view(np.uint32) >> np.uint32(8)).astype(np.float32)
    uniform += np.float32(0.5)
    uniform *= np.float32(2.0**-24)
    np.minimum(uniform, np.float32(1 - 2.0**-24), out=uniform)
    return uniform[:, :size]


def cell_words(seed: IDs, run: Words, event: IDs, size: int, region: npt.ArrayLike = 0) -> IDs:
    """Return 64 random bits for each cell of a calorimeter in each of N events.

    By numpy's Philox4x64-10, whose streams never change; each event has its own, in which the place
    of a cell's bits is its number. Those of 6240 cells take 20 us.

    Parameters
    ----------
    seed, run, event, region
        (N,) each, or one for all, as for `normal_noise`.
    size
        How many cells there are.

    Returns
    -------
    array
        (N, size); each element depends on nothing but seed, run, event, region and the cell.
    """
    seed, run, event, where = np.broadcast_arrays(seed, run, event, np.asarray(region, np.uint32))
    words = np.empty((len(event), size), np.uint64)
    stream = np.random.Philox(key=0)
    state: Any = stream.state
    place = run.astype(np.uint64) | where.astype(np.uint64) << _HIGH
    for row, numbers in enumerate(zip(seed.tolist(), place.tolist(), event.tolist(), strict=True)):
        state["state"]["key"][:] = numbers[:2]
        state["state"]["counter"][:] = (0, 0, numbers[2], _CELLS)
        stream.state = state
        words[row] = stream.random_raw(size)
    return words
