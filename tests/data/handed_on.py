"""Photons by one model; what it hands on by another; and all by one, to compare."""

from Configurables import CaloFastSim, EventDataSvc
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc", Input=["particles.root"], Output="handed_on.root")


def fastsim(name, **properties):
    return CaloFastSim(
        name,
        Model="besiii_emc_barrel/fast",
        OutputHits=[f"{name}Hits"],
        OutputContributions=[f"{name}Contributions"],
        OutputNotHandled=[f"{name}NotHandled"],
        OutputMCParticles=[f"{name}Particles"],
        **properties,
    )


photons = fastsim("Photons", PDG=[22])
others = fastsim("Others", InputMCParticles=["PhotonsNotHandled"])
once = fastsim("Once")
ApplicationMgr(
    TopAlg=[photons, others, once],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
)
