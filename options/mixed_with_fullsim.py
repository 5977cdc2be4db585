"""Some particles by the fast simulation, the others by a full one, in one collection of hits.

k4run mixed_with_fullsim.py
k4run mixed_with_fullsim.py --IOSvc.Input fullsim.edm4hep.root --CaloFastSim.PDG 22 11 -11

The input holds hits of a full simulation, of all particles or of the others alone: what it knows of
the chosen particles and their showers is left out, so nothing is there twice, and what it knows of
those that the fast simulation handed on stays.
"""

from pathlib import Path

from Configurables import CaloFastSim, CaloHitMerger, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "fullsim.edm4hep.root")]
io.Output = "mixed.edm4hep.root"
# What was merged is in the merged collections.
io.outputCommands = [
    "keep *",
    "drop EMCBarrelCollectionFast*",
    "drop EMCBarrelCollectionFull*",
]

fastsim = CaloFastSim("CaloFastSim")
# The chosen ones: photons.
fastsim.PDG = [22]
fastsim.InputMCParticles = ["MCParticles"]
fastsim.OutputHits = ["EMCBarrelCollectionFast"]
fastsim.OutputContributions = ["EMCBarrelCollectionFastContributions"]
fastsim.OutputNotHandled = ["MCParticlesNotHandled"]
# The merger knows from the flags who was simulated.
fastsim.OutputMCParticles = ["MCParticlesFlagged"]
# Of the barrel alone, as the hits of the input: what flies to the endcaps is left to the full one.
fastsim.Model = "besiii_emc_barrel/accurate"
fastsim.Seed = 1

merger = CaloHitMerger("CaloHitMerger")
merger.InputMCParticles = ["MCParticlesFlagged"]
merger.InputNotHandled = ["MCParticlesNotHandled"]
merger.InputFastHits = ["EMCBarrelCollectionFast"]
merger.InputFullHits = ["EMCBarrelCollectionFull"]
merger.OutputHits = ["EMCBarrelCollection"]
merger.OutputContributions = ["EMCBarrelCollectionContributions"]
# "drop" the full simulation's deposits of the chosen, "keep" them, or "fail" if there are any.
merger.Overlap = "drop"

ApplicationMgr(
    TopAlg=[fastsim, merger],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
