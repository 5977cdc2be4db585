"""Exporting a trained generator: physical units in and out, as one ONNX file with its card."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from k4calofast.generator.card import ModelCard, write_card
from k4calofast.incidence import CONDITIONS
from k4calofast.training.distillation import jump
from k4calofast.training.network import Features, Velocity
from k4calofast.training.sample import available_energy, flipped, mirrored
from k4calofast.training.variables import ShowerVariables

MODEL_FILE = "model.onnx"
_OPSET = 17


class Generator(nn.Module):
    """Noise, conditions and kinds to energies: all that the ONNX file does.

    Parameters
    ----------
    features, variables, velocity
        What was trained.
    jumps
        Steps from noise to showers.
    window
        Rows and columns of the window.
    """

    def __init__(
        self,
        features: Features,
        variables: ShowerVariables,
        velocity: Velocity,
        jumps: int,
        window: tuple[int, int],
    ) -> None:
        super().__init__()
        self.features, self.variables, self.velocity = features, variables, velocity
        self.jumps, self.window = jumps, window

    def forward(self, noise: Tensor, conditions: Tensor, pdg: Tensor | None = None) -> Tensor:
        """Generate showers.

        Parameters
        ----------
        noise
            (N, dimension) standard normal numbers.
        conditions
            (N, 6) as `k4calofast.incidence.CONDITIONS`.
        pdg
            (N,) kinds; left out where the generator has one kind alone.

        Returns
        -------
        Tensor
            (N, rows, columns) GeV.
        """
        if pdg is None:
            pdg = self.features.kinds[:1].expand(len(conditions))
        conditions, other = mirrored(conditions)
        given = self.features(pdg, conditions)
        context = self.velocity.of(given)
        numbers = jump(self.velocity, noise, context, self.jumps, self.variables.bounded)
        available = available_energy(pdg, conditions[:, 0])
        energies = self.variables.decode(numbers, available)
        return flipped(energies.reshape(-1, *self.window), other)


def to_onnx(generator: Generator) -> bytes:
    """Return the generator as an ONNX model, for any number of showers."""
    import onnx

    count = 2
    arguments = [torch.zeros(count, generator.variables.dimension)]
    arguments += [torch.ones(count, len(CONDITIONS))]
    names = ["noise", "conditions"]
    if len(generator.features.kinds) > 1:
        arguments += [generator.features.kinds[:1].repeat(count)]
        names += ["pdg"]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that torch recommends needs packages beyond torch and onnx.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            generator.eval(),
            tuple(arguments),
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=["energies"],
            dynamic_axes={name: {0: "N"} for name in (*names, "energies")},
            opset_version=_OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    (energies,) = model.graph.output
    for axis, size in zip(energies.type.tensor_type.shape.dim[1:], generator.window, strict=True):
        axis.dim_value = size
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def write_model(folder: Path, content: bytes, card: ModelCard) -> None:
    """Write a model folder: the ONNX file, then the card that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.file).write_bytes(content)
    write_card(folder, card)
