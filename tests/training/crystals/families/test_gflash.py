"""Profiles add up, go where the particle goes, and stay inside the barrel."""

from __future__ import annotations

import math

import pytest
import torch

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import TrainingError
from k4calofast.training.crystals.families import gflash
from k4calofast.training.crystals.families.gflash import GFlash, GFlashSettings

NAMES = [condition.name for condition in CONDITIONS]
ROW, COLUMN = (torch.arange(11.0) - 5).repeat_interleave(11), (torch.arange(11.0) - 5).repeat(11)


@pytest.fixture(scope="module")
def generator(sample, shape) -> GFlash:
    generator = GFlash(GFlashSettings(steps=5, batch=128, bin=100, matched=2000), shape)
    generator.prepare(sample)
    return generator


def conditions(count: int = 1, **values: float) -> torch.Tensor:
    """Conditions (count, 6) of 1 GeV along the axis of a crystal, in its middle, if not given."""
    result = torch.zeros((count, len(NAMES)))
    for name, value in ({"momentum": 1.0, "z": 628.9} | values).items():
        result[:, NAMES.index(name)] = value
    return result


def mean_shares(generator: GFlash, **values: float) -> torch.Tensor:
    """Shares (cells,) of a shower without fluctuations."""
    given = conditions(**values)
    parameters = generator.parameters_of(torch.tensor([22]), given[:, 0])
    with torch.no_grad():
        return generator.shares(parameters, torch.zeros((1, 6)), given)[0]


def test_the_radial_distribution_is_integrated_exactly():
    """Beside a sum over a fine grid; its error goes down with the square of the steps."""
    x, y, radius = torch.tensor([[-30.0, 5.0, 70.0]]), torch.tensor([[-10.0, 45.0]]), 20.0
    found = gflash.inside_rectangles(x, y, torch.tensor([radius]))[0]
    for cell, (left, right) in enumerate(((-30.0, 5.0), (5.0, 70.0))):
        u = left + (torch.arange(1000).double() + 0.5) * (right - left) / 1000
        v = -10.0 + (torch.arange(1000).double() + 0.5) * 55.0 / 1000
        square = u[:, None] ** 2 + v**2 + radius**2
        area = (right - left) * 55.0 / 1000**2
        expected = (radius**2 / (math.pi * square**2)).sum() * area
        assert float(found[cell, 0]) == pytest.approx(float(expected), rel=1e-4)


def test_the_whole_plane_holds_the_whole_shower():
    border = torch.tensor([[-1e5, 0.0, 1e5]])
    found = gflash.inside_rectangles(border, border, torch.tensor([20.0]))
    # Beyond the radius r lies (R / r)^2.
    torch.testing.assert_close(found[0], torch.full((2, 2), 0.25), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [0.01, 0.3, 4.0, 500.0])
def test_spots_fluctuate_by_a_gamma_distribution(shape):
    normal = torch.randn((200_000,), generator=torch.Generator().manual_seed(1))
    logarithms = gflash.gamma_logarithm(
        gflash.gamma_table(), torch.full_like(normal, math.log(shape)), normal
    )
    values = logarithms.exp().double()
    # Four standard errors, the fourth moment's included, and a percent of interpolation.
    error = 4 * math.sqrt(1 / (shape * len(values))) + 0.01
    assert float(values.mean()) == pytest.approx(shape, rel=error)
    error = 4 * math.sqrt((6 / shape + 2) / len(values)) + 0.01
    assert float(values.var()) == pytest.approx(shape, rel=error)


def test_layers_share_the_whole_shower_and_later_maxima_go_deeper():
    shallow, deep = (
        torch.stack(gflash._depths(torch.tensor([peak]), torch.tensor([2.0])))[:, 0]
        for peak in (1.0, 6.0)
    )
    assert float(shallow.sum()) == pytest.approx(1)
    assert shallow.argmax() < deep.argmax()


def test_a_particle_in_the_middle_of_a_crystal_leaves_most_in_it(generator):
    shares = mean_shares(generator)
    assert shares.argmax() == 60
    assert float(shares.sum()) < 1
    columns = shares.reshape(11, 11).sum(0)
    # Columns are the mirror images of each other, but for the crystals' tilt of 1.5 degrees.
    torch.testing.assert_close(columns, columns.flip(0), rtol=0.1, atol=1e-4)


def test_showers_follow_the_hit_point_and_the_direction(generator):
    """Rows run with theta, which falls with z; columns run with phi."""
    middle = mean_shares(generator)
    for weight, values in (
        (-ROW, {"delta_z_pos": 15.0, "z": 628.9 + 15.0}),
        (COLUMN, {"delta_phi_pos": 0.015}),
        (ROW, {"delta_theta_mom": 0.2}),
        (COLUMN, {"delta_phi_mom": 0.2}),
    ):
        moved = mean_shares(generator, **values)
        shift = moved @ weight / moved.sum() - middle @ weight / middle.sum()
        assert 0.02 < float(shift) < 1, values


def test_a_hit_on_the_side_of_a_crystal_is_behind_its_front(generator):
    at, _, entered, _, ring = generator.axis(conditions(delta_z_pos=35.0, z=628.9 + 35.0))
    edge, widening = generator.rows[ring[0], 5].tolist()
    theta = float(generator.ring_theta[ring])
    assert float(entered) > 1
    assert float(at[0, 0]) == pytest.approx(edge + widening * float(entered), rel=1e-5)
    # Along z, the way on the front and the way behind it are the distance of the two points.
    z = -float(at[0, 0]) * math.sin(theta) + float(entered) * math.cos(theta)
    assert z == pytest.approx(35.0, rel=1e-4)


def test_there_is_nothing_beyond_the_end_of_the_barrel(generator):
    last = float(generator.ring_z[0])
    given = conditions(64, z=last)
    noise = torch.randn((64, generator.noise), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        window = generator.generate(noise, torch.full((64,), 22), given).reshape(64, 11, 11)
    assert (window[:, :5] == 0).all()
    assert (window[:, 5] > 0).any(1).all()


def test_the_sum_of_the_cells_is_what_was_drawn(generator, sample):
    part = sample.take(slice(0, 500))
    noise = torch.randn((500, generator.noise), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        energies = generator.generate(noise, part.pdg, part.conditions)
        total = generator.total(noise, part.pdg, part.conditions)
    enough = total > 1e-3
    # A cell that falls below the threshold in the end is lost.
    torch.testing.assert_close(
        energies.sum(1)[enough], total[enough], rtol=1e-4, atol=generator.settings.threshold
    )


def test_missing_energies_have_the_quantiles_of_the_sample(generator, sample):
    noise = torch.randn((len(sample),), generator=torch.Generator().manual_seed(1))
    found = generator.missing(noise, sample.pdg, sample.conditions)
    there = 1 - sample.energies.sum(1) / sample.available
    for rank in (0.25, 0.5, 0.75, 0.9):
        assert float(found.quantile(rank)) == pytest.approx(
            float(there.quantile(rank)), rel=0.1, abs=2e-3
        )


def test_small_energies_have_the_spectrum_of_the_sample(generator, sample):
    noise = torch.randn((2400, generator.noise), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = generator.generate(noise, sample.pdg, sample.conditions)
    lit = [int((energies > 0).sum()) for energies in (found, sample.energies)]
    assert lit[0] == pytest.approx(lit[1], rel=0.04)
    for rank in (0.1, 0.5, 0.9):
        one, other = (values[values > 0].quantile(rank) for values in (found, sample.energies))
        assert float(one) == pytest.approx(float(other), rel=0.1)


def test_the_energy_score_is_smallest_for_the_right_distribution():
    generator = torch.Generator().manual_seed(1)

    def draw(width: float, shift: float = 0.0) -> torch.Tensor:
        return shift + width * torch.randn((50_000, 2), generator=generator)

    def score(*of: float) -> float:
        return float(gflash.energy_score(draw(*of), draw(*of), draw(1.0)))

    assert score(1.0) < min(score(0.7), score(1.4), score(1.0, 0.3)) - 0.01


def test_a_sample_of_less_than_one_bin_is_an_error(sample, shape):
    with pytest.raises(TrainingError, match="800 showers of a kind are fewer than one bin of 900"):
        GFlash(GFlashSettings(bin=900), shape).prepare(sample)
