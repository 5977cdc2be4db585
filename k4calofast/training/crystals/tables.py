"""Tables of a sample: how they are read, and how they are loaded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def read(table: Tensor, place: Tensor, row: Tensor | int = 0) -> Tensor:
    """Interpolate a table.

    Parameters
    ----------
    table
        (entries,) or (rows, entries), in half precision, too.
    place
        In units of entries; beyond the ends, what is there.
    row
        Integers that broadcast with the places.
    """
    entries, values = table.shape[-1], table.flatten()
    place = place.clamp(0.0, entries - 1 - 1e-3)
    below = place.detach().floor()
    index = below.long() + row * entries
    first, second = (values[at].to(place.dtype) for at in (index, index + 1))
    return first + (place - below) * (second - first)


class OfSample(nn.Module):
    """A module whose tables have the sizes that a sample decided, or a state that is loaded."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]).to(buffer.dtype))
        super()._load_from_state_dict(state_dict, prefix, *rest)
