"""Several samples in one training."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import ModelError, TrainingError
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.showers.reading import Hints, Source
from k4calofast.training import joining, recipe
from k4calofast.training.crystals.kind import KIND
from k4calofast.training.families import settings_of
from k4calofast.training.recipe import Product, Task
from k4calofast.validation.reference import refuse_unfit


@pytest.fixture
def more(geant4, tmp_path):
    """A sample with another seed, on request, as far as its provenance says."""
    showers, provenance = crystals.read(geant4)
    said = {"seed": 7, "sampling": f"{provenance.sampling}; density by a request"}
    crystals.write(
        tmp_path / "more.h5", [showers.take(slice(0, 300))], provenance.model_copy(update=said)
    )
    return tmp_path / "more.h5"


def test_samples_are_joined(geant4, more):
    joined = joining.read(geant4, [more], KIND, Hints())
    showers, provenance = crystals.read(geant4)
    assert len(joined.showers) == len(showers) + 300
    assert (joined.showers.energies[-300:] == showers.energies[:300]).all()
    assert joined.provenance == provenance
    alone = joining.read(geant4, [], KIND, Hints())
    assert alone.identity() == {}
    assert len(alone.showers) == len(showers)


def test_the_card_says_of_all_samples_and_none_is_a_reference(geant4, more, small, tmp_path):
    output = tmp_path / "b" / "f"
    values = small["library"] | {"showers": 2400}
    command = ["train", str(geant4), str(output), "--more", str(more), "--family", "library"]
    command += [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    card = read_card(output)
    first = crystals.read(geant4)[1]
    assert card.training.showers == 2700
    assert card.training.sample.endswith(
        f"; seed {first.seed}; and 300 showers, seed 7: density by a request"
    )
    assert (card.training.sample_seed, card.training.more_seeds) == (first.seed, (7,))
    for seed in (first.seed, 7):
        with pytest.raises(ModelError, match="has the seed of the sample"):
            refuse_unfit(card, more, Source(card.detector, card.training.simulation, seed))
    refuse_unfit(card, more, Source(card.detector, card.training.simulation, 8))
    product = Product(output, output.with_name("f.work"))
    settings = settings_of("library")(**values)
    with pytest.raises(TrainingError, match="epochs are chosen by showers that are not trained on"):
        recipe.train(Task("library", settings, geant4, [more], choose=more), product)
    other = tmp_path / "other.h5"
    showers, provenance = crystals.read(more)
    crystals.write(other, [showers], provenance.model_copy(update={"seed": 8}))
    with pytest.raises(TrainingError, match="another more"):
        recipe.train(Task("library", settings, geant4, [other]), product)


def test_samples_that_do_not_belong_together_are_refused(geant4, more, tmp_path):
    showers, provenance = crystals.read(more)
    for name, value, error in (
        ("physics", "another", "differ in physics"),
        ("detector", "CLD_ECAL_barrel", "holds showers in layers, and this family is for crystals"),
        ("magnetic_field", -0.9, "differ in magnetic_field"),
    ):
        other = tmp_path / "other.h5"
        crystals.write(other, [showers], provenance.model_copy(update={name: value}))
        with pytest.raises(TrainingError, match=error):
            joining.read(geant4, [other], KIND, Hints())
    with pytest.raises(TrainingError, match="has the seed of"):
        joining.read(geant4, [more, shutil.copy(more, tmp_path / "copy.h5")], KIND, Hints())
    with pytest.raises(TrainingError, match="has the seed of"):
        joining.read(geant4, [geant4], KIND, Hints())
