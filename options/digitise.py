"""From simulated hits to measured ones: light yield, electronic noise, threshold, calibration.

k4run digitise.py
k4run digitise.py --IOSvc.Input fastsim.edm4hep.root \\
    --CaloDigitiser.InputHits EMCBarrelCollection

Hits of the fast and of a full simulation are digitised alike. The numbers are BESIII-like.
"""

from pathlib import Path

from Configurables import CaloDigitiser, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "fullsim.edm4hep.root")]
io.Output = "digitised.edm4hep.root"

digitiser = CaloDigitiser("CaloDigitiser")
digitiser.InputHits = ["EMCBarrelCollectionFull"]
digitiser.InputEventHeader = ["EventHeader"]
digitiser.OutputHits = ["EMCBarrelDigis"]
# From each measured hit to the simulated one behind it.
digitiser.OutputLinks = ["EMCBarrelDigiLinks"]
# Photoelectrons per MeV of CsI(Tl) with two photodiodes.
digitiser.LightYield = 5000.0
# MeV, equivalent noise energy of a crystal.
digitiser.Noise = 0.2
# Crystal-to-crystal error of the calibration.
digitiser.Uniformity = 0.01
# MeV.
digitiser.Threshold = 0.5
# From signal to energy.
digitiser.Calibration = 1.0
digitiser.Seed = 1

ApplicationMgr(
    TopAlg=[digitiser],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
