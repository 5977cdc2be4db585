"""Normalising flows: splines, masks, passes, and the student."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from zuko.transforms import MonotonicRQSTransform

from k4calofast.exceptions import TrainingError
from k4calofast.training import configuration, export
from k4calofast.training.crystals.families.caloflow import (
    BOUND,
    SLOPE,
    Bins,
    CaloFlow,
    CaloFlowSettings,
    Conditioner,
    Imitation,
    Spline,
    SplineFlow,
    order,
)

WINDOW = (5, 5)


def disturbed(module):
    """The module with random weights: untrained splines are the identity."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def flow(passes, blocks=2):
    orders = [order(WINDOW, passes, block) for block in range(blocks)]
    return disturbed(SplineFlow(orders, 3, 32, 2, 6, BOUND)).double()


@pytest.fixture
def given():
    return torch.randn((40, 3), generator=torch.Generator().manual_seed(2)).double()


@pytest.fixture
def numbers():
    return 3 * torch.randn((40, 25), generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("passes", [2, 4, 9])
def test_neighbours_are_of_different_passes(passes):
    found = order((11, 11), passes, 0).reshape(11, 11)
    assert found[5, 5] == 0
    assert (found[1:] != found[:-1]).all()
    assert (found[:, 1:] != found[:, :-1]).all()
    if passes > 2:
        assert (found[1:, 1:] != found[:-1, :-1]).all()
        assert (found[1:, :-1] != found[:-1, 1:]).all()


def test_with_a_pass_per_cell_energy_comes_first_and_last_in_turn():
    one, other = (order((11, 11), 0, block) for block in (0, 1))
    assert sorted(one.tolist()) == list(range(121))
    assert one[60] == 0
    assert other[60] == 120


def test_splines_are_those_of_zuko(numbers):
    parameters = 3 * torch.randn((40, 25, 17), generator=torch.Generator().manual_seed(4)).double()
    ours = Spline(parameters, Bins(6, BOUND).double())
    theirs = MonotonicRQSTransform(
        parameters[..., :6], parameters[..., 6:12], parameters[..., 12:], bound=BOUND, slope=SLOPE
    )
    for here, there in zip(ours.call_and_ladj(numbers), theirs.call_and_ladj(numbers), strict=True):
        torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-4)


def test_splines_are_solved_inside_and_outside():
    parameters = 3 * torch.randn((200, 25, 17), generator=torch.Generator().manual_seed(4))
    spline = Spline(parameters.double(), Bins(6, BOUND).double())
    x = torch.linspace(-1.5 * BOUND, 1.5 * BOUND, 200).double()[:, None].expand(-1, 25)
    y = spline(x)
    torch.testing.assert_close(spline.solved(y), x, atol=1e-6, rtol=0)
    assert (y[x.abs() > BOUND] == x[x.abs() > BOUND]).all()


def test_the_slope_of_a_straight_spline_is_known():
    """The quadratic equation has no square then."""
    parameters = torch.zeros((1, 3, 17), requires_grad=True)
    y = torch.tensor([[-3.0, 0.0, 12.0]], requires_grad=True)
    solved = Spline(parameters, Bins(6, BOUND)).solved(y)
    solved.sum().backward()
    torch.testing.assert_close(solved, y)
    torch.testing.assert_close(y.grad, torch.ones_like(y))
    assert torch.isfinite(parameters.grad).all()


@pytest.mark.parametrize("passes", [0, 2, 4])
def test_splines_depend_on_earlier_passes_alone(numbers, passes):
    when = order(WINDOW, passes, 0)
    network = disturbed(Conditioner(when, 64, 2, Bins(6, BOUND))).double()
    embedded = torch.zeros(1, 64).double()
    visible = when.sort().values

    def ends(x):
        return network(x, embedded).ends

    x = numbers[:1]
    for number in range(25):
        other = x.clone()
        other[0, number] += 1
        changed = (ends(other) != ends(x)).any(-1).any(-1)[0]
        assert not changed[visible <= visible[number]].any()
        if visible[number] < visible.max():
            assert changed.any()


@pytest.mark.parametrize("passes", [0, 1, 4])
def test_what_is_drawn_is_the_inverse_of_the_likelihood(given, numbers, passes):
    found = flow(passes)
    embedded = found.embedding(given)
    noise = numbers
    for block in found.blocks:
        sorted_numbers = noise[:, block.sorting]
        noise = block(sorted_numbers, embedded)(sorted_numbers)[:, block.sorted_back]
    assert (noise - numbers).abs().mean() > 0.1
    torch.testing.assert_close(found.drawn(noise, given), numbers, atol=1e-5, rtol=0)


def test_probabilities_sum_to_one(given):
    one = [torch.zeros(1, dtype=torch.int64)]
    found = disturbed(SplineFlow(one, 3, 16, 1, 8, BOUND)).double()
    grid = torch.linspace(-15, 15, 10_001)[:, None].double()
    for row in given[:3]:
        density = found.log_probability(grid, row.expand(len(grid), -1)).exp().detach()
        assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1, abs=1e-3)


def test_one_pass_is_all_there_is_where_cells_do_not_see_each_other(given, numbers):
    alone, seeing = flow(1), flow(4)
    torch.testing.assert_close(
        alone.imitated(numbers, given), alone.drawn(numbers, given), atol=1e-4, rtol=0
    )
    assert (seeing.imitated(numbers, given) - seeing.drawn(numbers, given)).abs().max() > 0.1


@pytest.fixture
def student(shape):
    settings = CaloFlowSettings(width=16, layers=0, transforms=1, passes=0, sample_with="student")
    torch.manual_seed(0)
    return CaloFlow(settings, shape)


def test_a_student_of_cells_that_do_not_see_each_other_has_nothing_to_learn(shape, sample):
    losses = []
    for passes in (1, 4):
        settings = CaloFlowSettings(
            width=32, layers=1, transforms=2, passes=passes, sample_with="student"
        )
        family = CaloFlow(settings, shape)
        family.prepare(sample)
        disturbed(family.teacher)
        *_, last = family.stages(sample)
        assert isinstance(last, Imitation)
        losses.append(last.loss(torch.arange(32)).item())
    assert losses[0] < 1e-6
    assert losses[1] > 1e-2


def test_numbers_lie_within_the_splines(student, sample):
    student.prepare(sample)
    numbers = student.variables.encode(student.numbers) * student.scale
    # Noise of empty cells alone can lie anywhere; six widths out is beyond what one sees.
    assert (numbers.abs() <= BOUND + 0.1).all()


def test_a_student_is_exported_in_one_pass(student):
    disturbed(student)
    content = export.to_onnx(student)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(1)
    count = 5
    inputs = {
        "noise": generator.standard_normal((count, student.noise)).astype(np.float32),
        "conditions": np.ones((count, 6), np.float32),
        "pdg": np.full(count, 22),
    }
    (there,) = session.run(None, inputs)
    with torch.no_grad():
        here = student(*(torch.from_numpy(inputs[name]) for name in inputs)).numpy()
    assert here.sum() > 0
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-5)


def test_a_teacher_of_a_pass_per_cell_is_not_exported():
    given = configuration.read(None, None, ["passes=0"], "caloflow")
    with pytest.raises(TrainingError, match=r"sample_with.*1 to 16 passes"):
        given.settings(CaloFlowSettings)
