"""How a shower develops: its energy, then energy and number of hits of one layer after the other.

An autoregressive model with an explicit likelihood. The energy of the shower comes first; each
layer takes a part of what is left of it, so that the sum is right by construction. In front of each
layer stands the same small network, told of what came before by a dozen numbers (`State`): how much
is left, the last three layers, where the centre of gravity is so far. It says with which
probability the layer stays empty or is the last one with energy, and how the part that it takes is
distributed. The number of its hits follows, given its energy; and after the last layer four numbers
of the whole, centre of gravity and mean radii.

All are mixtures of normal densities, whose parameters are exact to sample from and to fit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.training.layers.profile import LATENTS, normal
from k4calofast.training.layers.sample import Particles
from k4calofast.training.sums import sums

_SHIFT = 0.3
"""MIPs: logarithms of energies are taken above this."""

_LEAST = 1e-9
_NARROWEST, _WIDEST = -4.5, 2.5
"""Of the logarithms of widths."""

_MOST = 8.0
"""Of the logarithm of a number of hits."""

_EDGE = 18.0
"""Most that a part's logit may be, either way."""

_EMPTY, _LAST, _ENDS = 0, 1, 2
"""What may become of a layer, beside taking a part: the first components of its mixture."""

_OF_HITS, _OF_WHOLE = 3, 4
"""Components of the mixtures for numbers of hits, and for numbers of the whole."""

_FINE = 1e-3
"""Probability of a number of hits under which it is taken as density times width."""

_ROOT = math.sqrt(2 * math.pi)

TRENDS = 8
"""Columns of `trends`."""

_FEWEST, _RIDGE, _MEAN_LOGARITHM = 50, 1e-4, 0.635


class Developed(NamedTuple):
    """Layers of N showers.

    Attributes
    ----------
    energies
        (N, L) MIPs.
    hits
        (N, L) numbers of them, whole.
    latents
        (N, LATENTS) see `k4calofast.training.layers.family.latents_of`.
    """

    energies: Tensor
    hits: Tensor
    latents: Tensor


_STATE = 11
"""Features of a state."""

_SHARE = 1e-4
_ADDED = (_SHARE, *[_SHIFT] * 4, *[1.0] * 4)
"""What is added to those features whose logarithms are taken."""

_SCALES = (*[1 / 3] * 5, *[1 / 2] * 2, *[1 / 3] * 2, 1 / 10, 1 / 10)


class State(NamedTuple):
    """What is known of showers in front of a layer; each (N, 1), or (N, L, 1) of all layers.

    Attributes
    ----------
    total, left
        MIPs: of the shower, and what is left of it.
    one, two, three
        MIPs in the last layers.
    hits_one, hits_two
        Hits in the last layers.
    moment
        Sum of energy times number of layer so far.
    hits, lit
        Hits, and layers with energy, so far.
    """

    total: Tensor
    left: Tensor
    one: Tensor
    two: Tensor
    three: Tensor
    hits_one: Tensor
    hits_two: Tensor
    moment: Tensor
    hits: Tensor
    lit: Tensor

    def features(self) -> Tensor:
        """Features (..., 11) at about unit size."""
        so_far = self.total - self.left
        columns = [
            self.left / self.total,
            self.left,
            self.one,
            self.two,
            self.three,
            self.hits_one,
            self.hits_two,
            self.hits,
            so_far.clamp(min=0.0),
        ]
        logarithms = (torch.cat(columns, -1) + self.left.new_tensor(_ADDED)).log()
        centre = self.moment / (so_far.clamp(min=0.0) + _SHIFT)
        found: Tensor = torch.cat([logarithms, centre, self.lit], -1)
        return found * self.left.new_tensor(_SCALES)

    def after(self, number: int, energy: Tensor, hits: Tensor, lit: Tensor, left: Tensor) -> State:
        """Return the state behind a layer."""
        return State(
            self.total,
            left,
            energy,
            self.one,
            self.two,
            hits,
            self.hits_one,
            self.moment + number * energy,
            self.hits + hits,
            self.lit + lit,
        )

    @staticmethod
    def first(total: Tensor) -> State:
        """Return the state in front of the first layer, of totals (N, 1) in MIPs."""
        none = torch.zeros_like(total)
        return State(total, total, none, none, none, none, none, none, none, none)

    @staticmethod
    def before(energies: Tensor, hits: Tensor) -> State:
        """Return the states in front of all layers of known showers (N, L)."""
        number = torch.arange(energies.shape[1], dtype=energies.dtype, device=energies.device)

        def so_far(values: Tensor) -> Tensor:
            return values.double().cumsum(1).to(values.dtype) - values

        def earlier(values: Tensor, layers: int) -> Tensor:
            return F.pad(values, (layers, 0))[:, : values.shape[1]]

        # From the end: what is left of little is exact.
        left = energies.double().flip(1).cumsum(1).flip(1).to(energies.dtype)
        columns = (
            left[:, :1].expand_as(left),
            left,
            earlier(energies, 1),
            earlier(energies, 2),
            earlier(energies, 3),
            earlier(hits, 1),
            earlier(hits, 2),
            so_far(energies * number),
            so_far(hits),
            so_far((energies > 0).to(energies.dtype)),
        )
        return State(*(column[..., None] for column in columns))


class Mixture(NamedTuple):
    """Mixtures of K normal densities, (..., K) each.

    Attributes
    ----------
    weight
        Logarithms of the components' weights, normalised.
    mean, width
        Of each.
    """

    weight: Tensor
    mean: Tensor
    width: Tensor

    @staticmethod
    def of(numbers: Tensor) -> Mixture:
        """Return the mixtures that a network's numbers (..., 3 K) mean."""
        weight, mean, width = numbers.chunk(3, -1)
        return Mixture(weight.log_softmax(-1), mean, _width(width))

    def likelihood(self, value: Tensor) -> Tensor:
        """Logarithms (...) of the density at values (...)."""
        density = _density(value[..., None], self.mean, self.width)
        found: Tensor = (self.weight + density).logsumexp(-1)
        return found


class Drawn(NamedTuple):
    """What was drawn from mixtures of K components.

    Attributes
    ----------
    chosen
        (N, K) 1 for the component that was chosen, 0 for the others.
    value
        (N, 1) from its normal density.
    """

    chosen: Tensor
    value: Tensor


def draw(numbers: Tensor, k: int, uniform: Tensor, noise: Tensor) -> Drawn:
    """Draw from the mixtures that a network's numbers mean.

    Parameters
    ----------
    numbers
        (N, 3 K) see `Mixture.of`.
    k
        How many components: not from a size, which an exported graph would look up.
    uniform, noise
        (N, 1) between 0 and 1, and standard normal.
    """
    weight, of_normal = torch.split(numbers, [k, 2 * k], 1)
    up_to = [[float(j >= i) for j in range(k)] for i in range(k)]
    passed = (uniform >= weight.softmax(1) @ numbers.new_tensor(up_to)).to(numbers.dtype)
    # The first that is not passed; the last, if all are.
    step = [[float(j == i + 1) - float(j == i) for j in range(k)] for i in range(k - 1)]
    first = [[float(j == 0) for j in range(k)]]
    chosen = passed @ numbers.new_tensor([*step, [0.0] * k]) + numbers.new_tensor(first)
    # Sums of one number and zeros: in any order the same.
    mean, width = torch.split((chosen[:, None] * of_normal.reshape(-1, 2, k)).sum(2), 1, 1)
    return Drawn(chosen, mean + _width(width) * noise)


class Development(nn.Module):
    """The networks.

    Parameters
    ----------
    layers
        How many.
    features
        Numbers by which kinds and conditions are told.
    width, components
        Of the network for layers, and of its mixtures.
    """

    mean: Tensor
    spread: Tensor
    usual: Tensor
    usual_spread: Tensor

    def __init__(self, layers: int, features: int, width: int, components: int) -> None:
        super().__init__()
        self.layers, self.components = layers, components
        self.noise, self.uniform = 1 + 2 * layers + LATENTS, 1 + 2 * layers + LATENTS
        context, hidden = 64, 48
        self.context = nn.Sequential(
            nn.Linear(features, context), nn.SiLU(), nn.Linear(context, context), nn.SiLU()
        )
        self.total = nn.Sequential(
            nn.Linear(context, context), nn.SiLU(), nn.Linear(context, 3 * _OF_WHOLE)
        )
        self.place = nn.Embedding(layers, width)
        self.given = nn.Linear(context, width)
        self.first = nn.Linear(_STATE, width)
        self.inner = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.part = nn.Linear(width, 3 * (_ENDS + components))
        self.of_hits = nn.Linear(width + 2, hidden)
        self.hits = nn.Linear(hidden, 3 * _OF_HITS)
        self.whole = nn.ModuleList(
            nn.Sequential(
                nn.Linear(context + _KNOWN + number, hidden),
                nn.SiLU(),
                nn.Linear(hidden, 3 * _OF_WHOLE),
            )
            for number in range(LATENTS)
        )
        for name, start in {
            # Of the logarithm of visible energy over momentum: mean, and logarithm of the width.
            "mean": torch.zeros(TRENDS),
            "spread": torch.zeros(TRENDS),
            # Numbers of the whole: what is usual for such layers, and how much they differ.
            "usual": torch.zeros(_KNOWN, LATENTS),
            "usual_spread": torch.ones(LATENTS),
        }.items():
            self.register_buffer(name, start)

    def fit_scales(self, shown: Developed, particles: Particles) -> None:
        """Take the scales of the sample."""
        momentum = particles.momentum
        mean, spread = fitted(trends(particles), _response(shown.energies, momentum))
        self.mean.copy_(mean)
        self.spread.copy_(spread)
        known = known_of(shown, momentum)
        usual = torch.linalg.lstsq(known.double(), shown.latents.double()).solution.float()
        self.usual.copy_(usual)
        self.usual_spread.copy_((shown.latents - known @ usual).std(0))

    def usual_of(self, shown: Developed, momentum: Tensor) -> Tensor:
        """Numbers of the whole (N, LATENTS) that are usual for such layers."""
        return known_of(shown, momentum) @ self.usual

    def unlikelihood(self, shown: Developed, features: Tensor, particles: Particles) -> Tensor:
        """Minus the logarithm of the likelihood of N showers, over their number.

        Parameters
        ----------
        features
            (N, features) of kinds and conditions.
        """
        momentum = particles.momentum
        context = self.context(features)
        mean, width = self._trend(particles)
        of_total = (_response(shown.energies, momentum) - mean) / width
        loss = -Mixture.of(self.total(context)).likelihood(of_total).sum()

        energies, hits = shown.energies, shown.hits
        state = State.before(energies, hits)
        layer = torch.arange(self.layers, device=energies.device)
        hidden = self._hidden(state, self._given(context))
        left = state.left[..., 0]
        lit, reached = energies > 0, left > 0
        rest = F.pad(left[:, 1:], (0, 1))
        last = lit & (rest <= 0)
        of_part = Mixture.of(self.part(hidden))
        value = (energies.clamp(min=_LEAST) / rest.clamp(min=_LEAST)).log().clamp(-_EDGE, _EDGE)
        taken = (of_part.weight + _density(value[..., None], of_part.mean, of_part.width))[
            ..., _ENDS:
        ]
        chance = torch.where(
            lit & ~last,
            taken.logsumexp(-1),
            torch.where(last, of_part.weight[..., _LAST], of_part.weight[..., _EMPTY]),
        )
        # The last of all takes what is left, whatever the network says.
        reached = reached & (layer < self.layers - 1)
        loss = loss - (chance * reached).sum()

        part = energies[..., None] / state.left.clamp(min=_LEAST)
        of_hits = Mixture.of(self._of_hits(hidden, energies[..., None], part))
        loss = loss - (_counted(of_hits, hits) * lit).sum()

        known = known_of(shown, momentum)
        numbers = (shown.latents - known @ self.usual) / self.usual_spread
        known = torch.cat([context, known], 1)
        for number, network in enumerate(self.whole):
            mixture = Mixture.of(network(torch.cat([known, numbers[:, :number]], 1)))
            loss = loss - mixture.likelihood(numbers[:, number]).sum()
        return loss / len(energies)

    def forward(
        self, noise: Tensor, uniform: Tensor, features: Tensor, particles: Particles
    ) -> Developed:
        """Draw the layers of N showers.

        Parameters
        ----------
        noise, uniform
            (N, noise) standard normal numbers, (N, uniform) between 0 and 1.
        features
            As of `unlikelihood`.
        """
        momentum = particles.momentum
        # One column at a time.
        normal, evenly = torch.split(noise, 1, 1), torch.split(uniform, 1, 1)
        context = self.context(features)
        mean, width = self._trend(particles)
        drawn = draw(self.total(context), _OF_WHOLE, evenly[0], normal[0]).value
        total = (mean[:, None] + width[:, None] * drawn).exp() * momentum[:, None]
        nothing, all_of_it = torch.zeros_like(total), torch.ones_like(total)
        state = State.first(total)
        energies, hits = [], []
        for layer, given in enumerate(self._given(context).unbind(1)):
            hidden = self._hidden(state, given)
            place = 1 + 2 * layer
            take, keep = all_of_it, nothing
            if layer < self.layers - 1:
                chosen, logit = draw(
                    self.part(hidden), _ENDS + self.components, evenly[place], normal[place]
                )
                empty, last, part = torch.split(chosen, [1, 1, self.components], 1)
                part = part.sum(1, keepdim=True)
                logit = logit.clamp(-_EDGE, _EDGE)
                take = last + part * torch.sigmoid(logit)
                keep = empty + part * torch.sigmoid(-logit)
            energy, left = state.left * take, state.left * keep
            of_hits = self._of_hits(hidden, energy, take)
            number = draw(of_hits, _OF_HITS, evenly[place + 1], normal[place + 1]).value
            lit = (energy > 0).to(energy.dtype)
            number = (number.clamp(max=_MOST).exp() + 0.5).floor().clamp(min=1.0) * lit
            energies.append(energy)
            hits.append(number)
            state = state.after(layer, energy, number, lit, left)
        shown = Developed(torch.cat(energies, 1), torch.cat(hits, 1), nothing)
        known = known_of(shown, momentum)
        numbers = torch.cat([context, known], 1)
        for place, network in enumerate(self.whole, 1 + 2 * self.layers):
            drawn = draw(network(numbers), _OF_WHOLE, evenly[place], normal[place]).value
            numbers = torch.cat([numbers, drawn], 1)
        found = numbers[:, -LATENTS:] * self.usual_spread + known @ self.usual
        return shown._replace(latents=found)

    def _trend(self, particles: Particles) -> tuple[Tensor, Tensor]:
        """Mean and width (N,) of the logarithm of visible energy over momentum."""
        both = trends(particles) @ torch.stack([self.mean, self.spread], 1)
        return both[:, 0], both[:, 1].exp()

    def _hidden(self, state: State, given: Tensor) -> Tensor:
        """What the network makes of states, and of place and conditions (..., width)."""
        found: Tensor = self.inner(self.first(state.features()) + given)
        return found

    def _given(self, context: Tensor) -> Tensor:
        """What conditions and places add (N, L, width)."""
        found: Tensor = self.given(context)[:, None] + self.place.weight
        return found

    def _of_hits(self, hidden: Tensor, energy: Tensor, part: Tensor) -> Tensor:
        """Mixtures (..., 3 K) of logarithms of numbers of hits.

        Parameters
        ----------
        hidden
            (..., width).
        energy, part
            (..., 1) MIPs that the layer takes, and which part of what is left.
        """
        logarithm = (energy / _SHIFT + 1).log()
        found: Tensor = self.hits(F.silu(self.of_hits(torch.cat([hidden, logarithm, part], -1))))
        return found


_KNOWN = 8


def known_of(shown: Developed, momentum: Tensor) -> Tensor:
    """Numbers (N, 8) of layers by which those of the whole are guessed."""
    energies, hits = shown.energies, shown.hits
    number = torch.arange(energies.shape[1], dtype=energies.dtype, device=energies.device)
    total, count = sums(energies).clamp(min=_SHIFT), sums(hits).clamp(min=1.0)
    mean = sums(energies * number) / total
    spread = (sums(energies * number**2) / total - mean**2).clamp(min=0.0).sqrt()
    of_hits = sums(hits * number) / count
    scale = momentum.log() / 3
    columns = [
        torch.ones_like(mean),
        scale,
        scale**2,
        mean / 10,
        spread / 5,
        of_hits / 10,
        (count / total).log(),
        (total / momentum).log() - 5,
    ]
    return torch.stack(columns, 1)


def trends(particles: Particles) -> Tensor:
    """Columns (N, 8) over which energies' means and widths are fitted."""
    momentum, slope, electron = particles
    scale = momentum.log() - 2.5
    steep = slope[:, 0] ** 2 + slope[:, 1] ** 2
    columns = [torch.ones_like(scale), scale, scale**2, scale**3, steep, steep * scale]
    return torch.stack([*columns, electron, electron * scale], 1)


def fitted(given: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Fit means, and logarithms of widths, of values (N,) over columns (N, 8).

    Returns
    -------
    tuple of Tensor
        (8,) coefficients of each.
    """
    given = given.double()
    square = given.T @ given + _RIDGE * len(given) * torch.eye(TRENDS, dtype=torch.float64)
    mean = torch.linalg.solve(square, given.T @ values.double())
    left = (values.double() - given @ mean).abs().clamp(min=1e-4).log()
    # The mean logarithm of a normal number's size is -0.635.
    width = torch.linalg.solve(square, given.T @ (left + _MEAN_LOGARITHM))
    return mean.float(), width.float()


def _response(energies: Tensor, momentum: Tensor) -> Tensor:
    """Logarithm (N,) of visible energy over momentum."""
    return (energies.sum(1).clamp(min=_LEAST) / momentum).log()


def _width(numbers: Tensor) -> Tensor:
    return numbers.clamp(_NARROWEST, _WIDEST).exp()


def _density(value: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    """Logarithm of normal densities."""
    return -0.5 * ((value - mean) / width) ** 2 - (width * _ROOT).log()


def _counted(mixture: Mixture, count: Tensor) -> Tensor:
    """Logarithms (...) of the probabilities of whole numbers (...), 1 or more.

    A number stands for what rounds to it, one for all below, too.
    """
    count = count.clamp(min=1.0)[..., None]
    high, low = (count + 0.5).log(), (count - 0.5).log()
    middle = count.log()
    above, below = ((edge - mixture.mean) / mixture.width for edge in (high, low))
    lowest = count < 2
    exact = normal(above) - torch.where(lowest, torch.zeros(()), normal(below))
    # Of one minus one nothing is left; where the density is even, so is the probability.
    thin = _density(middle, mixture.mean, mixture.width) + (high - low).log()
    logarithm = torch.where(exact > _FINE, exact.clamp(min=_FINE).log(), thin)
    found: Tensor = (mixture.weight + logarithm).logsumexp(-1)
    return found
