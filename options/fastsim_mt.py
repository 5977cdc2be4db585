"""Fast simulation with several events in flight, whose showers are generated together.

k4run fastsim_mt.py
k4run fastsim_mt.py --threads 8 --slots 16

Without Key4hep the same file runs on one thread, and gives the same hits.
"""

from pathlib import Path

from Configurables import (
    AvalancheSchedulerSvc,
    CaloFastSim,
    HiveSlimEventLoopMgr,
    HiveWhiteBoard,
)
from Gaudi.Configuration import INFO, WARNING
from k4FWCore import ApplicationMgr, IOSvc
from k4FWCore.parseArgs import parser

parser.add_argument("--threads", type=int, default=4, help="threads of the scheduler")
parser.add_argument("--slots", type=int, default=8, help="events in flight")
arguments = parser.parse_known_args()[0]

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "particles.edm4hep.root")]
io.Output = "fastsim_mt.edm4hep.root"

fastsim = CaloFastSim("CaloFastSim")
fastsim.InputMCParticles = ["MCParticles"]
fastsim.InputEventHeader = ["EventHeader"]
fastsim.Model = "besiii_emc/accurate"
fastsim.Seed = 1
# At most so many events share a call of the generator, ...
fastsim.CollectEvents = 32
# ... and wait so many ms for each other.
fastsim.CollectTime = 1.0

ApplicationMgr(
    TopAlg=[fastsim],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[HiveWhiteBoard("EventDataSvc", EventSlots=arguments.slots, ForceLeaves=True)],
    EventLoop=HiveSlimEventLoopMgr(
        "HiveSlimEventLoopMgr", SchedulerName="AvalancheSchedulerSvc", OutputLevel=WARNING
    ),
    MessageSvcType="InertMessageSvc",
    OutputLevel=INFO,
)
AvalancheSchedulerSvc("AvalancheSchedulerSvc").ThreadPoolSize = arguments.threads
