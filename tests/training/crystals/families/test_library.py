"""A library gives its own showers, those of the particle's bin, at the particle's energy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from k4calofast.exceptions import TrainingError
from k4calofast.training import export
from k4calofast.training.crystals.bins import Bins
from k4calofast.training.crystals.families.library import Library, LibrarySettings

BIN = 8


@pytest.fixture(scope="module")
def library(sample, shape) -> Library:
    library = Library(LibrarySettings(showers=1200, bin=BIN), shape)
    library.prepare(sample)
    return library


def middles() -> torch.Tensor:
    """Noise (BIN, 1) that takes the showers of a bin one after the other."""
    return torch.special.ndtri((torch.arange(BIN) + 0.5) / BIN)[:, None]


def test_a_shower_of_the_library_comes_back_at_its_own_momentum(library, sample):
    """To the width of a level for each cell, and to half precision for the sum."""
    matches = 0
    for row in range(100):
        one = sample.take(torch.full((BIN,), row))
        found = library.generate(middles(), one.pdg, one.conditions)
        same = ((found > 0) == (one.energies > 0)).all(1) & torch.isclose(
            found.sum(1), one.energies.sum(1), rtol=1e-3, atol=1e-6
        )
        if same.any():
            matches += 1
            there, here = one.energies[0], found[same][0]
            torch.testing.assert_close(here, there, rtol=0.05, atol=1e-6)
    # 768 of 2400 showers are in the library.
    assert matches > 20


def test_every_shower_of_a_bin_is_taken_equally_often(library, sample):
    one = sample.take(torch.zeros(8000, dtype=torch.int64))
    noise = torch.randn((8000, 1), generator=torch.Generator().manual_seed(1))
    counts = library.shower(noise, one.pdg, one.conditions).unique(return_counts=True)[1]
    assert len(counts) == BIN
    # Five standard deviations.
    assert (counts - 1000).abs().max() < 5 * 1000**0.5


def test_the_response_stays_where_the_momentum_moves(library, sample):
    bright = sample.take(sample.conditions[:, 0] > 0.3)
    noise = torch.zeros((len(bright), 1))
    shower = library.shower(noise, bright.pdg, bright.conditions)
    found = library.generate(noise, bright.pdg, bright.conditions).sum(1) / bright.available
    # Of little more than the threshold, some is lost.
    there = 1 - library.missing[shower].float()
    torch.testing.assert_close(found[there > 0.1], there[there > 0.1], rtol=2e-3, atol=0)


def test_a_bin_holds_showers_of_its_own_kind_and_region(sample):
    rows = torch.cat([torch.nonzero(sample.pdg == kind)[:512, 0] for kind in (-11, 11, 22)])
    chosen = sample.take(rows)
    # This sample has five momenta: of showers that share one, a cut at it halves none.
    chosen.conditions[:, 0] += 1e-3 * torch.rand(len(rows), generator=torch.manual_seed(1))
    bins = Bins(torch.tensor([-11, 11, 22]), 5)
    order = bins.fit(chosen.pdg, chosen.conditions, chosen.energies.sqrt())
    assert order.shape == (bins.count, 16)
    assert sorted(order.flatten().tolist()) == list(range(len(chosen)))
    assert (chosen.pdg[order] == chosen.pdg[order[:, :1]]).all()
    found = bins(chosen.pdg, chosen.conditions)
    expected = torch.empty(len(chosen), dtype=torch.int64)
    expected[order] = torch.arange(bins.count)[:, None].expand(order.shape)
    torch.testing.assert_close(found, expected)


def test_bins_are_halved_along_what_changes_showers():
    """Along dphi of the hit where nothing else matters; then always along the longest side."""
    conditions = torch.rand((4096, 6), generator=torch.Generator().manual_seed(1))
    bins = Bins(torch.tensor([22]), 3)
    bins.fit(torch.full((4096,), 22), conditions, conditions[:, 4:5])
    assert bins.condition.tolist() == [4] * 7
    np.testing.assert_allclose(bins.cut[:3], [0.5, 0.25, 0.75], atol=0.03)
    both = conditions[:, 4:5] * torch.tensor([[1.0, 0.0]]) + conditions[:, :1] * torch.tensor(
        [[0.0, 0.7]]
    )
    bins.fit(torch.full((4096,), 22), conditions, both)
    assert bins.condition.tolist() == [4, 0, 0, 4, 4, 4, 4]


def test_showers_of_a_kind_that_do_not_fill_all_bins_are_an_error():
    with pytest.raises(ValueError, match="100 showers of 22 for 8 bins"):
        Bins(torch.tensor([22]), 3).fit(
            torch.full((100,), 22), torch.zeros((100, 6)), torch.zeros((100, 1))
        )


def test_a_library_of_less_than_one_bin_is_an_error(sample, shape):
    with pytest.raises(TrainingError, match="5 showers of each kind are fewer than one bin of 16"):
        Library(LibrarySettings(showers=15), shape).prepare(sample)


def test_nothing_in_the_graph_runs_over_the_whole_library(library):
    """Tables are only gathered from: a shower costs the same from a library of any size."""
    graph = onnx.load_from_string(export.to_onnx(library)).graph
    large = {tensor.name for tensor in graph.initializer if np.prod(tensor.dims) > 512}
    large |= {
        node.output[0]
        for node in graph.node
        if node.op_type == "Constant" and np.prod(node.attribute[0].t.dims) > 512
    }
    assert large
    users = {node.op_type for node in graph.node if large & set(node.input)}
    assert users == {"Gather"}
