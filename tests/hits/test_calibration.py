"""Tables of single cells: whoever wrote them, they say what they say, or are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from k4calofast import detector
from k4calofast.detector import besiii
from k4calofast.exceptions import FileFormatError, SteeringError
from k4calofast.hits.calibration import calibrations

BARREL = besiii.barrel()


def known(tmp_path, text: str = "", name: str = "cells.csv", dead=()):
    """Calibration of the barrel from a file with this text."""
    file = tmp_path / name
    file.write_text(text)
    (found,) = calibrations(str(file) if text else "", dead, [BARREL])
    return found


def cell(ring: int, column: int) -> int:
    return ring * BARREL.n_columns + column


def test_without_a_file_nothing_is_special(tmp_path):
    found = known(tmp_path)
    assert (found.response == 1).all()
    assert (found.constant == 1).all()
    assert not found.dead.any()


ROWS = [
    {"theta": 2, "phi": 3, "response": 0.9, "constant": 1.1},
    {"cellID": int(BARREL.cell_id(np.array([cell(4, 5)]))[0]), "dead": True},
    {"part": 1, "theta": 7, "constant": 2.0},
    {"theta": 7, "phi": 0, "constant": 3.0},
]
CSV = """\
# Rings and crystals of BESIII's barrel.
theta, phi, part, response, constant, dead, cellID
2, 3, , 0.9, 1.1, ,
, , , , , true, {}

7, , 1, , 2, ,
7, 0, , , 3, ,
""".format(hex(ROWS[1]["cellID"]))
YAML = "\n".join(f"- {json.dumps(row)}" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", CSV), ("a.yaml", YAML), ("a.json", json.dumps(ROWS))]
)
def test_tables_of_all_formats_say_the_same(tmp_path, name, text):
    found = known(tmp_path, text, name)
    assert found.response[cell(2, 3)] == 0.9
    assert (found.response != 1).sum() == 1
    assert np.flatnonzero(found.dead).tolist() == [cell(4, 5)]
    # All of ring 7, but for the crystal that a later row names.
    expected = np.ones(BARREL.n_cells)
    expected[cell(7, 0) : cell(8, 0)] = 2
    expected[[cell(7, 0), cell(2, 3)]] = 3, 1.1
    assert found.constant.tolist() == expected.tolist()


def test_a_table_of_the_whole_calorimeter_serves_a_part_of_it(tmp_path):
    text = "part,theta,phi,constant\n0,0,0,5\n1,0,0,2\n"
    assert known(tmp_path, text).constant.max() == 2


def test_a_table_with_a_row_for_each_crystal_is_read(tmp_path):
    rng = np.random.default_rng(1)
    constants = rng.normal(1, 0.02, BARREL.n_cells)
    rows = [f"{i // 120},{i % 120},{float(x)!r}" for i, x in enumerate(constants)]
    found = known(tmp_path, "\n".join(["theta,phi,constant", *rows]))
    assert found.constant.tolist() == constants.tolist()


def test_dead_cells_are_named_by_their_fields_or_ids(tmp_path):
    number = str(BARREL.cell_id(np.array([cell(9, 9)]))[0])
    found = known(tmp_path, dead=["theta=1, phi=119", number, "theta=3"])
    assert np.flatnonzero(found.dead).tolist() == sorted(
        [cell(1, 119), cell(9, 9), *range(cell(3, 0), cell(4, 0))]
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "x", r"a\.txt: the name must end with \.csv, \.yaml or \.json"),
        ("a.csv", "# nothing\n", "empty"),
        ("a.csv", "theta,phi,constnt\n1,1,1\n", "a.csv:2: 'constnt' is neither cellID nor a field"),
        ("a.csv", "theta,phi,constant\n1,1\n", "a.csv:2: 2 values, but 3 columns"),
        ("a.csv", "theta,phi,constant\n1,x,1\n", "a.csv:2: phi: 'x' is no whole number"),
        ("a.csv", "theta,phi,constant\n1,1,nan\n", "a.csv:2: constant: "),
        ("a.csv", "theta,phi,constant\n1,1,0\n", "a.csv:2: constant: "),
        ("a.csv", "theta,phi,response\n1,1,-1\n", "a.csv:2: response: "),
        ("a.csv", "theta,phi,dead\n1,1,maybe\n", "a.csv:2: dead: "),
        ("a.csv", "constant\n2\n", "a.csv:2: say which cells"),
        ("a.csv", "cellID,theta,constant\n5,1,2\n", "a.csv:2: say which cells"),
        ("a.csv", "cellID,constant\n-5,2\n", "a.csv:2: cellID: -5 does not fit"),
        ("a.csv", f"cellID,constant\n{1 << 64},2\n", "does not fit 64 bits"),
        ("a.csv", 'theta,constant\n"1\n2",2\n', "a row of several lines"),
        ("a.csv", "part,constant\n2,2\n", "none of its 1 rows is of a cell of BESIII_EMC_barrel"),
        ("a.csv", "\n".join(["theta,constant"] + ["1,1"] * 100_001), "more than 100000 rows"),
        ("a.yaml", "theta: 1\n", "a list of rows is needed"),
        ("a.yaml", "- 5\n", "a.yaml: row 1: no mapping"),
        ("a.yaml", "- {theta: true, constant: 1}\n", "row 1: theta: 'True' is no whole number"),
        ("a.yaml", "- {theta: 1.5, constant: 1}\n", "theta: '1.5' is no whole number"),
        ("a.yaml", "- !!python/object/apply:os.system [ls]\n", "cannot be read"),
        ("a.json", "[{", "cannot be read"),
    ],
)
def test_what_is_no_table_of_cells_is_refused_in_a_sentence(tmp_path, name, text, sentence):
    with pytest.raises(FileFormatError, match=sentence):
        known(tmp_path, text, name)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        calibrations(str(tmp_path / "none.csv"), [], [BARREL])


@pytest.mark.parametrize(
    ("dead", "sentence"),
    [
        ("theta=44", "DeadCells 'theta=44': no such cell in BESIII_EMC_barrel"),
        ("17", "DeadCells '17': no such cell"),
        ("ring=4", "DeadCells 'ring=4': 'ring' is neither"),
        ("theta=a", "DeadCells 'theta=a': theta: 'a' is no whole number"),
        ("", "DeadCells ''"),
    ],
)
def test_dead_cells_that_do_not_exist_are_refused(dead, sentence):
    with pytest.raises(SteeringError, match=sentence):
        calibrations("", [dead], [BARREL])


def test_fields_of_another_calorimeter_s_ids_name_none_of_this(tmp_path):
    """Rows for layers beside rows for crystals, in one table."""
    layers = detector.load("CLD_ECAL_barrel")
    file = tmp_path / "cells.yaml"
    file.write_text("- {theta: 1, constant: 2}\n- {system: 20, layer: 3, dead: true}\n")
    crystals, _ = calibrations(str(file), [], [BARREL, layers])
    assert (crystals.constant == 2).sum() == BARREL.n_columns
    assert not crystals.dead.any()
