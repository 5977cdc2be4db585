"""Fast simulation of CLD's electromagnetic barrel: MCParticles in, calorimeter hits out.

k4run fastsim_cld.py
k4run fastsim_cld.py --IOSvc.Input mine.edm4hep.root --IOSvc.Output hits.edm4hep.root
"""

from pathlib import Path

from Configurables import CaloFastSim, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
# Ten photons of 50 GeV in each event.
io.Input = [str(Path(__file__).parent / "input" / "photons.edm4hep.root")]
io.Output = "fastsim_cld.edm4hep.root"

fastsim = CaloFastSim("CaloFastSim")
fastsim.InputMCParticles = ["MCParticles"]
fastsim.InputEventHeader = ["EventHeader"]
# Hits have the detector's own name, here ECalBarrelCollection, unless OutputHits and
# OutputContributions give others.
# Particles that still need full simulation: other kinds, endcaps, out of range.
fastsim.OutputNotHandled = ["MCParticlesNotHandled"]
fastsim.Model = "cld_ecal_barrel/layered"
# Hits below are left out; in units of a minimum ionising particle. This keeps 99.9 % of the energy.
fastsim.HitThreshold = 0.25
# With run, event and particle number, this decides every shower.
fastsim.Seed = 1
# Particles outside the range of all models for their kind: "skip" hands them on, "clamp" takes the
# nearest model, "fail" stops; "auto" is what a set of models says, and "skip" if it says nothing.
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
