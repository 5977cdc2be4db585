"""Fast simulation of the calorimeter after a simulation of the tracker, such as ddsim's.

k4run fastsim_after_tracker.py
k4run fastsim_after_tracker.py --IOSvc.Input tracker_only.edm4hep.root

What the tracker did to a particle is in its endpoint and status bits: what converted, decayed or
stopped there is left to its daughters, and what flew on arrives with the momentum it had left.
"""

from pathlib import Path

from Configurables import CaloFastSim, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "tracker_only.edm4hep.root")]
io.Output = "fastsim_after_tracker.edm4hep.root"

fastsim = CaloFastSim("CaloFastSim")
# Of generator and simulation: both generatorStatus 1 and secondaries set out.
fastsim.InputMCParticles = ["MCParticles"]
fastsim.InputEventHeader = ["EventHeader"]
# Those without a shower here, for another simulation to take: what passes beside the crystals.
fastsim.OutputNotHandled = ["MCParticlesNotHandled"]
# A copy of the MCParticles that says who was simulated (simulatorStatus, bit 22).
fastsim.OutputMCParticles = ["MCParticlesAfterFastSim"]
fastsim.Model = "besiii_emc/accurate"
fastsim.Seed = 1

ApplicationMgr(
    TopAlg=[fastsim],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
