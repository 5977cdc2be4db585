"""Pages in a real browser: without a network, on a desk and on a telephone, by mouse and keys."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from k4calofast.display.page import page
from k4calofast.display.reading import read

DRAWN = """(triangles) => {
  let cells = 0;
  for (const trace of document.getElementById("view").data) {
    if (trace.visible === false) continue;
    if (trace.type === "mesh3d") cells += trace.i.length / triangles;
    if (trace.name === "points") cells += trace.x.length;
  }
  return cells;
}"""
"""How many cells Plotly draws: so many triangles each, or a point."""

SHOWN = "document.getElementById('shown').textContent"
EYE = "() => Object.values(document.getElementById('view').layout.scene.camera.eye)"


def drawn(tab, scene) -> float:
    """How many cells are drawn, with sides for as many corners as the richest cell has in front."""
    front = scene.events[0].cells.solids.shape[1] // 2
    return tab.evaluate(DRAWN, 4 * front - 4)


def set_range(tab, name: str, value: int) -> None:
    tab.locator(f"#{name}").evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(value),
    )
    settled(tab)


def settled(tab) -> None:
    """Wait until what was asked for is drawn."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")


def ready(tab):
    tab.wait_for_selector("body[data-ready]", timeout=120_000)
    return tab


@pytest.fixture(scope="module")
def scene(besiii_file):
    return read(besiii_file, [0, 1, 2])


@pytest.fixture(scope="module")
def besiii(opened, scene, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "event.html"
    file.write_text(page(scene))
    return ready(opened(file))


@pytest.fixture
def tab(besiii):
    """The page as it is when it is opened."""
    besiii.locator("#colour").select_option("log")
    besiii.locator("#event").select_option("0")
    settled(besiii)
    return besiii


def test_all_cells_are_drawn_and_counted(tab, scene):
    energy = scene.events[0].cells.energy
    cells = len(energy)
    assert drawn(tab, scene) == cells
    text = rf"{cells} of {cells} cells shown, ([\d.]+) GeV of ([\d.]+) GeV"
    shown = re.match(text, tab.evaluate(SHOWN))
    assert [float(one) for one in shown.groups()] == pytest.approx([energy.sum()] * 2, rel=5e-3)
    assert tab.locator("h1").inner_text() == "fastsim.edm4hep.root, entry 0: run 1, event 0"
    assert tab.locator("#about").inner_text().startswith("BESIII_EMC_barrel, BESIII_EMC_endcaps.")


def test_the_threshold_leaves_cells_of_less_energy_out(tab, scene):
    energy = scene.events[0].cells.energy
    set_range(tab, "threshold", 100)
    low = max(energy.min(), energy.max() * 1e-5)
    expected = int((energy >= np.sqrt(low * energy.max())).sum())
    assert 0 < expected < len(energy)
    assert drawn(tab, scene) == expected
    assert tab.evaluate(SHOWN).startswith(f"{expected} of {len(energy)} cells")


def test_the_time_window_leaves_earlier_and_later_deposits_out(tab, scene):
    deposits = scene.events[0].deposits
    set_range(tab, "stop", 100)
    expected = int((deposits.time <= np.median(deposits.time)).sum())
    assert abs(drawn(tab, scene) - expected) <= 1
    set_range(tab, "start", 150)
    # The window's end goes along.
    assert tab.locator("#stop").input_value() == "150"
    assert drawn(tab, scene) <= 1


def test_particles_are_chosen_with_their_cells(tab, scene):
    event = scene.events[0]
    tab.locator("#none").click()
    settled(tab)
    assert drawn(tab, scene) == 0
    tab.locator("#particles input").first.check()
    settled(tab)
    mine = np.unique(event.deposits.cell[event.deposits.particle == 0])
    assert drawn(tab, scene) == len(mine)
    ways = "() => document.getElementById('view').data.filter((one) => one.name === 'way').length"
    assert tab.evaluate(ways) == 1
    tab.locator("#all").click()
    settled(tab)
    assert drawn(tab, scene) == len(event.cells.energy)


def test_colours_follow_what_is_chosen(tab, scene):
    energy, time = scene.events[0].cells.energy, scene.events[0].deposits.time
    highest = {
        "linear": 1e3 * energy.max(),
        "time": np.quantile(time, 0.98),
        "particle": 10.5,
        "log": np.log10(energy.max()),
    }
    for colour, expected in highest.items():
        tab.locator("#colour").select_option(colour)
        settled(tab)
        axis = tab.evaluate("() => document.getElementById('view').layout.coloraxis")
        assert axis["cmax"] == pytest.approx(expected, rel=1e-5)
        assert axis.get("showscale", True) == (colour != "particle")


def test_cells_can_be_points(tab, scene):
    tab.locator("#form").select_option("points")
    settled(tab)
    assert drawn(tab, scene) == len(scene.events[0].cells.energy)
    meshes = "() => document.getElementById('view').data.filter((one) => one.i?.length).length"
    assert tab.evaluate(meshes) == 0


def test_events_are_chosen_in_the_page(tab, scene):
    tab.locator("#later").click()
    settled(tab)
    assert tab.locator("h1").inner_text().endswith("entry 1: run 1, event 1")
    assert drawn(tab, scene) == len(scene.events[1].cells.energy)
    assert tab.locator("#energies tbody tr").count() == len(scene.events[1].particles)


def test_the_table_says_what_each_particle_left(tab, scene):
    event = scene.events[0]
    rows = tab.locator("#energies tbody tr").all()
    for row, particle, deposited in zip(rows, event.particles, event.deposited(), strict=False):
        text = row.inner_text()
        assert ("not simulated" in text) == particle.handed_on
        if deposited >= 1:
            assert f"{deposited:.3g} GeV" in text
    assert "left to another simulation: 1" in tab.locator("#rest").inner_text()


def test_the_view_is_turned_with_keys(tab):
    tab.locator("#view").focus()
    before = tab.evaluate(EYE)
    tab.keyboard.press("ArrowLeft")
    settled(tab)
    turned = tab.evaluate(EYE)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(before))
    assert turned != before
    tab.keyboard.press("-")
    settled(tab)
    assert np.linalg.norm(tab.evaluate(EYE)) > np.linalg.norm(before)


def test_all_controls_are_reached_with_keys_and_have_names(tab):
    unnamed = """() => [...document.querySelectorAll("header *, #cameras *, #controls *")]
      .filter((one) => one.matches("button, select, input"))
      .filter((one) => one.tabIndex < 0 || !(one.labels?.[0] ?? one).textContent.trim())
      .map((one) => one.id)"""
    assert tab.evaluate(unnamed) == []


def test_a_cell_says_what_it_is(tab):
    tab.locator("#none").click()
    tab.locator("#particles input").first.check()
    tab.locator("#near").click()
    settled(tab)
    box = tab.locator("#view").bounding_box()
    label = tab.locator(".hoverlayer, .hovertext").first
    for x in np.linspace(0.35, 0.55, 9):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + 0.5 * box["height"])
        settled(tab)
        text = label.text_content() or ""
        if "cell ID" in text:
            break
    tab.locator("#near").click()
    for word in ("cell ID", "theta ", "phi ", "EMCBarrelCollection", "eV", " ns"):
        assert word in text


def test_the_page_fits_on_a_desk_and_on_a_telephone(tab, fits):
    fits(tab)


def test_ten_photons_of_50_gev_are_eleven_thousand_solids(opened, cld_file, tmp_path):
    file = tmp_path / "cld.html"
    scene = read(cld_file, [0])
    file.write_text(page(scene))
    tab = ready(opened(file))
    cells = len(scene.events[0].cells.energy)
    assert cells > 10_000
    assert drawn(tab, scene) == cells
    tab.locator("#none").click()
    tab.locator("#particles input").nth(3).check()
    settled(tab)
    assert drawn(tab, scene) == len(
        np.unique(scene.events[0].deposits.cell[scene.events[0].deposits.particle == 3])
    )
    tab.close()


def test_hits_of_an_unknown_detector_are_points(opened, edm4hep_file, tmp_path, fits):
    scene = read(edm4hep_file("odd_piplus10GeV_10ev_pyedm4hep_sample_event.root"), [0])
    file = tmp_path / "odd.html"
    file.write_text(page(scene))
    tab = ready(opened(file))
    assert drawn(tab, scene) == len(scene.events[0].cells.energy)
    assert "not known here" in tab.locator("#about").inner_text()
    fits(tab)
    tab.close()


NASTY = "<script>document.body.dataset.hurt = 1</script><img src=x onerror=alert(1)>&amp;"


def test_names_from_files_are_text_and_nothing_else(opened, scene, tmp_path):
    collection = scene.collections[0]
    note = scene.events[0]
    hurt = replace(
        scene,
        file=NASTY,
        collections=(replace(collection, name=NASTY), replace(collection, name="</title>")),
        events=(replace(note, notes=(NASTY,), fates=((NASTY, 1, 1.0),)),),
    )
    file = tmp_path / "hurt.html"
    file.write_text(page(hurt))
    tab = ready(opened(file))
    assert tab.evaluate("document.body.dataset.hurt") is None
    assert tab.locator("img").count() == 0
    assert tab.locator("h1").inner_text().startswith(NASTY)
    assert NASTY in tab.locator("#collections").inner_text()
    assert tab.locator("#rest").inner_text().count(NASTY) == 2
    assert tab.title().startswith(NASTY)
    # Plotly's labels have some HTML: none of it is from the file.
    labels = "() => document.getElementById('view').data.flatMap((one) => one.hovertext ?? [])"
    found = tab.evaluate(f"({labels})().filter((text) => /<(?!b>|\\/b>|br>)/.test(text)).length")
    assert found == 0
    tab.close()
