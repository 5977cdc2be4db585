"""Particles for a trial of the fast simulation: photons, electrons and positrons.

k4run particle_gun.py -n 1000
k4run fastsim.py --IOSvc.Input particles.edm4hep.root
"""

from Configurables import CaloParticleGun, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Output = "particles.edm4hep.root"

gun = CaloParticleGun("CaloParticleGun")
# One of these kinds (PDG numbers) for each particle.
gun.PDG = [22, 11, -11]
gun.ParticlesPerEvent = 3
# GeV; the logarithm is uniform.
gun.MomentumMin = 0.05
gun.MomentumMax = 2.5
gun.MomentumLog = True
# Degrees; the barrel covers 34 to 146.
gun.ThetaMin = 35.0
gun.ThetaMax = 145.0
# BESIII's interaction region, mm.
gun.Vertex = [0.0, 0.0, 0.0]
gun.VertexSigma = [0.4, 0.1, 9.0]
gun.Run = 1
gun.Seed = 1

ApplicationMgr(
    TopAlg=[gun],
    EvtSel="NONE",
    EvtMax=100,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
