"""Properties are refused where they cannot be, with one sentence and their names."""

from __future__ import annotations

import math
from typing import get_origin

import pytest
from pydantic import ValidationError

from k4calofast.exceptions import SteeringError
from k4calofast.gaudi.components import COMPONENTS
from k4calofast.properties import CaloFastSimProperties, refuse_names

ALL = [kind for _, kind in COMPONENTS.values()]
FLOATS = [
    (kind, name, field.annotation)
    for kind in ALL
    for name, field in kind.model_fields.items()
    if "float" in str(field.annotation)
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan"])
@pytest.mark.parametrize(
    ("kind", "name", "type_"), FLOATS, ids=lambda one: getattr(one, "__name__", one)
)
def test_numbers_that_are_none_are_refused(kind, name, type_, value):
    given = [value] * 3 if get_origin(type_) is list else value
    with pytest.raises(ValidationError):
        kind(**{name: given})
    properties = kind()
    with pytest.raises(ValidationError):
        setattr(properties, name, given)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "A B",
        "A-B",
        "A\n",
        "1A",
        "Ü",
        "\ud800",
        "A.B",
        "_A",
        "_A_parents",
        "A_objIdx",
        "GPIntKeys",
    ]
    + ["GPStringValues"],
)
def test_names_that_no_file_can_hold_are_refused(name):
    with pytest.raises(SteeringError, match="OutputNotHandled"):
        refuse_names(CaloFastSimProperties(OutputNotHandled=[name]))


@pytest.mark.parametrize("name", ["A", "a_b1", "GPIntKeysOfMine", "GPHits"])
def test_other_names_are_not(name):
    refuse_names(CaloFastSimProperties(OutputHits=[name]))


@pytest.mark.parametrize("kind", ALL)
def test_no_two_outputs_and_no_output_and_input_have_one_name(kind):
    refuse_names(kind())
    names = [name for name in kind.model_fields if name.startswith(("Input", "Output"))]
    for output in (name for name in names if name.startswith("Output")):
        for other in names:
            if other != output:
                with pytest.raises(SteeringError, match=f"(?=.*{output})(?=.*{other}).*'Same'"):
                    refuse_names(kind(**{output: ["Same"], other: ["Same"]}))
