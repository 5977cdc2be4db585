"""Names of collections and metadata of several regions."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from k4calofast import detector
from k4calofast.engine.outputs import metadata, with_output_names
from k4calofast.exceptions import SteeringError
from k4calofast.incidence import FATES
from k4calofast.properties import CaloFastSimProperties


@dataclass
class Region:
    """A calorimeter of the package, and what cards say of models."""

    calorimeter: detector.Calorimeter
    models: tuple[SimpleNamespace, ...] = ()


def regions(*names: str) -> list[Region]:
    return [Region(detector.load(name)) for name in names]


def test_hits_have_the_detectors_own_names():
    named = with_output_names(
        CaloFastSimProperties(), regions("BESIII_EMC_barrel", "CLD_ECAL_barrel")
    )
    # Showers go on into BESIII's endcaps, which have no region.
    assert named.OutputHits == [
        "EMCBarrelCollection",
        "ECalBarrelCollection",
        "EMCEndcapCollection",
    ]
    assert named.OutputContributions == [f"{name}Contributions" for name in named.OutputHits]


def test_the_collection_of_what_leaks_can_be_named_or_not():
    barrel = regions("BESIII_EMC_barrel")
    for given, wanted in (
        (["A"], ["A", "A_EMCEndcapCollection"]),
        (["EMCBarrelCollection"], ["EMCBarrelCollection", "EMCEndcapCollection"]),
        (["A", "B"], ["A", "B"]),
        ([], ["EMCBarrelCollection", "EMCEndcapCollection"]),
    ):
        named = with_output_names(CaloFastSimProperties(OutputHits=given), barrel)
        assert named.OutputHits == wanted
        assert len(named.OutputContributions) == 2
    both = regions("BESIII_EMC_endcaps", "BESIII_EMC_barrel")
    assert with_output_names(CaloFastSimProperties(), both).OutputHits == [
        "EMCEndcapCollection",
        "EMCBarrelCollection",
    ]


def test_names_that_are_given_stay():
    given = CaloFastSimProperties(OutputHits=["A", "B"], OutputContributions=["C", "D"])
    assert with_output_names(given, regions("ILD_ECAL_barrel", "CEPC_ECAL_barrel")) == given


def test_one_name_for_two_regions_is_refused_with_both_lists_and_the_regions():
    sentence = (
        r"^OutputHits names 1 and OutputContributions names 0 collections; give one for each "
        r"region \(BESIII_EMC_barrel, CLD_ECAL_barrel\), one more for each that showers go on into "
        r"\(BESIII_EMC_endcaps\), or none"
    )
    with pytest.raises(SteeringError, match=sentence):
        with_output_names(
            CaloFastSimProperties(OutputHits=["A"]),
            regions("BESIII_EMC_barrel", "CLD_ECAL_barrel"),
        )


def test_two_regions_whose_hits_are_usually_called_alike_need_names():
    both = regions("ILD_ECAL_barrel", "CEPC_ECAL_barrel")
    sentence = (
        "ILD_ECAL_barrel, CEPC_ECAL_barrel .*'EcalBarrelCollection'; .* in OutputHits and Out"
    )
    with pytest.raises(SteeringError, match=sentence):
        with_output_names(CaloFastSimProperties(), both)
    with pytest.raises(SteeringError, match=r"a name in OutputContributions$"):
        with_output_names(CaloFastSimProperties(OutputHits=["A", "B"]), both)
    with pytest.raises(SteeringError, match="OutputHits names 'A' twice"):
        with_output_names(
            CaloFastSimProperties(OutputHits=["A", "A"], OutputContributions=["B", "C"]), both
        )


def test_the_detectors_names_are_names_like_others():
    taken = CaloFastSimProperties(OutputNotHandled=["ECalBarrelCollection"])
    with pytest.raises(SteeringError, match="OutputNotHandled and OutputHits are both"):
        with_output_names(taken, regions("CLD_ECAL_barrel"))


def test_each_collection_says_its_encoding_and_models_in_order_and_the_first_the_fates():
    cards = [SimpleNamespace(name=f"m{i}", version=f"{i}.0", sha256=f"{i:064}") for i in range(3)]
    both = regions("BESIII_EMC_barrel", "CLD_ECAL_barrel")
    both[0].models = tuple(SimpleNamespace(card=card) for card in cards[:2])
    both[1].models = (SimpleNamespace(card=cards[2]),)
    named = with_output_names(CaloFastSimProperties(), both)
    assert metadata(named, both) == {
        "EMCBarrelCollection__CellIDEncoding": both[0].calorimeter.encoding.text,
        "EMCBarrelCollection__ModelName": "m0,m1",
        "EMCBarrelCollection__ModelVersion": "0.0,1.0",
        "EMCBarrelCollection__ModelSHA256": f"{cards[0].sha256},{cards[1].sha256}",
        "ECalBarrelCollection__CellIDEncoding": both[1].calorimeter.encoding.text,
        "ECalBarrelCollection__ModelName": "m2",
        "ECalBarrelCollection__ModelVersion": "2.0",
        "ECalBarrelCollection__ModelSHA256": cards[2].sha256,
        "EMCEndcapCollection__CellIDEncoding": both[0].calorimeter.encoding.text,
        "EMCEndcapCollection__ModelName": "m0,m1",
        "EMCEndcapCollection__ModelVersion": "0.0,1.0",
        "EMCEndcapCollection__ModelSHA256": f"{cards[0].sha256},{cards[1].sha256}",
        "EMCBarrelCollection__FateNames": ",".join(fate.name for fate in FATES),
    }
