"""Make the pictures of the documentation again: ``python docs/images/make.py``.

It takes a minute. Pictures in 3D are of a Chromium's screen, driven by the package playwright.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
OPTIONS = HERE.parents[1] / "options"
COLOURS = 256
SEED = "2"
"""Of the particles in BESIII: some of each kind, on all sides."""


def k4run(options: str, output: Path, *arguments: str) -> Path:
    """Run an options file of the package."""
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded", OPTIONS / options]
    subprocess.run([*command, "--IOSvc.Output", output, *arguments], check=True)
    return output


def display(*arguments: object) -> None:
    """Run ``k4calofast display``."""
    command = [sys.executable, "-m", "k4calofast", "display", *map(str, arguments)]
    subprocess.run(command, check=True)


def smaller(picture: Path) -> None:
    """Write a picture with fewer colours: they are what its size is made of."""
    with Image.open(picture) as opened:
        opened.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def screen(browser: Browser, page: Path, picture: str, size: tuple[int, int], *steps: str) -> None:
    """Take a picture of the 3D view of a page; of the whole page if it is asked for."""
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector("body[data-ready]", timeout=120_000)
    tab.evaluate("() => { document.getElementById('view').style.border = 'none'; }")
    for step in steps:
        tab.evaluate(step)
        tab.wait_for_timeout(2000)
    whole = picture.endswith("_page.png")
    (tab if whole else tab.locator("#view")).screenshot(path=HERE / picture)
    tab.close()


def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gun = k4run(
            "particle_gun.py",
            folder / "particles.edm4hep.root",
            *("-n", "1", "--CaloParticleGun.Seed", SEED),
            *("--CaloParticleGun.PDG", "22", "22", "11", "-11"),
            *("--CaloParticleGun.ParticlesPerEvent", "8"),
            *("--CaloParticleGun.MomentumMin", "0.3", "--CaloParticleGun.MomentumMax", "1.5"),
            *("--CaloParticleGun.ThetaMin", "40", "--CaloParticleGun.ThetaMax", "140"),
        )
        besiii = k4run("fastsim.py", folder / "besiii.edm4hep.root", "--IOSvc.Input", str(gun))
        cld = k4run("fastsim_cld.py", folder / "cld.edm4hep.root", "-n", "1")
        display(besiii, "--out", HERE / "besiii_event.png")
        display(cld, "--out", HERE / "cld_event.png")
        display("--model", "besiii_emc_barrel/accurate", "--out", HERE / "besiii_showers.png")
        layered = ("--model", "cld_ecal_barrel/layered", "--momentum", "50", "-n", "500")
        display(*layered, "--out", HERE / "cld_showers.png")
        pages = {name: folder / f"{name}.html" for name in ("besiii", "cld")}
        display(besiii, "--out", pages["besiii"])
        display(cld, "--out", pages["cld"])
        with sync_playwright() as playwright:
            found = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            screen(browser, pages["besiii"], "besiii_3d.png", (1500, 860))
            screen(browser, pages["besiii"], "besiii_page.png", (1400, 1000))
            one = "() => { document.getElementById('none').click();"
            one += " document.querySelectorAll('#particles input')[4].click();"
            one += " document.getElementById('outline').click();"
            one += " document.getElementById('near').click(); }"
            screen(browser, pages["cld"], "cld_3d.png", (1500, 860), one)
            browser.close()
    for picture in HERE.glob("*.png"):
        smaller(picture)


if __name__ == "__main__":
    main()
