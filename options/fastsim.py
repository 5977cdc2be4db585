"""Fast simulation of the BESIII EMC: MCParticles in, calorimeter hits out.

k4run fastsim.py
k4run fastsim.py --IOSvc.Input mine.edm4hep.root --IOSvc.Output hits.edm4hep.root
"""

from pathlib import Path

from Configurables import CaloFastSim, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "particles.edm4hep.root")]
io.Output = "fastsim.edm4hep.root"

fastsim = CaloFastSim("CaloFastSim")
fastsim.InputMCParticles = ["MCParticles"]
fastsim.InputEventHeader = ["EventHeader"]
# Hits have the detectors' own names, here EMCBarrelCollection and EMCEndcapCollection, unless
# OutputHits and OutputContributions give others, one for each of the two.
# Particles that still need another simulation: what passes beside the crystals, through gaps and
# the holes of the endcaps, and kinds that no model knows; nothing else that reaches the EMC.
fastsim.OutputNotHandled = ["MCParticlesNotHandled"]
# A set of models, of photons, leptons and hadrons: "besiii_emc/accurate" is nearest to Geant4,
# "besiii_emc/fast" takes a part of the time; docs/generators.md compares them. Or one model, as
# "besiii_emc_barrel/fast", or a folder of yours.
fastsim.Model = "besiii_emc/accurate"
# With run, event and particle number, this decides every shower.
fastsim.Seed = 1
# Particles outside the range of all models for their kind: "skip" hands them on, "clamp" takes the
# nearest model, "fail" stops; "auto" is what a set of models says, here "clamp", and "skip" if it
# says nothing.
fastsim.OutOfRange = "auto"
# "auto" takes a GPU if there is one; also "cpu", "cuda", "tensorrt".
fastsim.Provider = "auto"

ApplicationMgr(
    TopAlg=[fastsim],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
