"""Photons by one model; what it hands on by another; and all by one, to compare."""

from Configurables import (
    AvalancheSchedulerSvc,
    CaloFastSim,
    EventDataSvc,
    HiveSlimEventLoopMgr,
    HiveWhiteBoard,
)
from k4FWCore import ApplicationMgr, IOSvc
from k4FWCore.parseArgs import parser

parser.add_argument("--threads", type=int, default=0, help="threads of the scheduler")
threads = parser.parse_known_args()[0].threads

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
job = {"TopAlg": [photons, others, once], "EvtSel": "NONE", "EvtMax": -1}
if threads:
    ApplicationMgr(
        **job,
        ExtSvc=[HiveWhiteBoard("EventDataSvc", EventSlots=threads, ForceLeaves=True)],
        EventLoop=HiveSlimEventLoopMgr(
            "HiveSlimEventLoopMgr", SchedulerName="AvalancheSchedulerSvc"
        ),
        MessageSvcType="InertMessageSvc",
    )
    AvalancheSchedulerSvc("AvalancheSchedulerSvc").ThreadPoolSize = threads
else:
    ApplicationMgr(**job, ExtSvc=[EventDataSvc("EventDataSvc")])
