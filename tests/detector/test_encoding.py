"""Cell IDs pack and unpack as DD4hep's bit fields do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.detector import CellIDEncoding

CLD = CellIDEncoding("system:5,side:2,module:8,stave:4,layer:9,submodule:4,x:32:-16,y:-16")


def test_offsets_follow_from_widths_and_can_be_given():
    offsets = {field.name: (field.offset, field.width) for field in CLD.fields}
    assert offsets["layer"] == (19, 9)
    assert offsets["x"] == (32, 16)
    assert offsets["y"] == (48, 16)


@given(st.integers(-(1 << 15), (1 << 15) - 1), st.integers(-(1 << 15), (1 << 15) - 1))
def test_signed_fields_survive_the_round_trip(x, y):
    cell_id = CLD.encode(system=20, x=x, y=y)
    assert cell_id.dtype == np.uint64
    assert (CLD.decode(cell_id, "x"), CLD.decode(cell_id, "y")) == (x, y)
    assert CLD.decode(cell_id, "system") == 20
    assert CLD.decode(cell_id, "layer") == 0


def test_a_value_by_hand():
    # Bits counted on paper: system 20, x = -1 fills 16 bits from bit 32.
    assert int(CLD.encode(system=20, x=-1)) == 20 | 0xFFFF << 32


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"'system' of the cell ID must lie in \[0, 31\]"):
        CLD.encode(system=32)
    with pytest.raises(ValueError, match="no field 'tower'"):
        CLD.encode(tower=1)


@pytest.mark.parametrize(
    "text", ["", "system", "system:0", "a:3,a:2", "a:60,b:8", "a:0:4,b:2:4", "a:x", "a:1:2:3"]
)
def test_what_is_no_encoding_is_refused(text):
    with pytest.raises(ValueError, match="cell-ID encoding"):
        CellIDEncoding(text)


def test_a_real_hit_decodes_to_its_detector(edm4hep_file):
    import uproot

    with uproot.open(edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root")) as file:
        cell_ids = file["events"]["ECalBarrelSiHitsEven.cellID"].array()[0].to_numpy()
    ild = CellIDEncoding(
        "system:5,module:3,stave:4,tower:4,layer:6,wafer:6,slice:4,cellX:32:-16,cellY:-16"
    )
    assert set(ild.decode(cell_ids, "system")) == {20}
    assert set(ild.decode(cell_ids, "slice")) == {4}
    assert (ild.decode(cell_ids, "layer") % 2 == 0).all()
