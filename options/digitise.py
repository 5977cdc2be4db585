"""From simulated hits to measured ones: light, electronic noise, threshold, calibration.

k4run digitise.py
k4run digitise.py --IOSvc.Input fastsim.edm4hep.root \\
    --CaloDigitiser.InputHits EMCBarrelCollection

Hits of the fast and of a full simulation are digitised alike. The numbers are BESIII's;
docs/electronics.md says where they are from. Each effect can be switched off.
"""

from pathlib import Path

from Configurables import CaloDigitiser, EventDataSvc
from Gaudi.Configuration import INFO
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Input = [str(Path(__file__).parent / "input" / "fullsim.edm4hep.root")]
io.Output = "digitised.edm4hep.root"

digitiser = CaloDigitiser("CaloDigitiser")
# One collection or more, as EMCBarrelCollection and EMCEndcapCollection of the fast simulation; the
# other lists of names, and Detectors, are as long.
digitiser.InputHits = ["EMCBarrelCollectionFull"]
digitiser.InputEventHeader = ["EventHeader"]
digitiser.OutputHits = ["EMCBarrelDigis"]
# From each measured hit to the simulated one behind it; hits of noise alone have none.
digitiser.OutputLinks = ["EMCBarrelDigiLinks"]
# Which calorimeter has the cells.
digitiser.Detectors = ["BESIII_EMC_barrel"]
# Noise also in crystals without a deposit.
digitiser.EmptyCells = True
# Photoelectrons per MeV of CsI(Tl) with two photodiodes; 0 for no fluctuation.
digitiser.LightYield = 5000.0
# MeV, equivalent noise energy of a crystal.
digitiser.Noise = 0.255
# MeV, what a search for the peak of a pulse finds where there is none.
digitiser.NoiseMean = 0.045
# Spread of the light that a crystal collects of the same energy.
digitiser.Uniformity = 0.01
# MeV.
digitiser.Threshold = 0.5
# ns.
digitiser.TimeResolution = 15.0
# From signal to energy; single crystals' constants are in a file, none by default.
digitiser.Calibration = 1.0
digitiser.CalibrationFile = ""
# As "part=1,theta=20,phi=7", or cell IDs.
digitiser.DeadCells = []
digitiser.Seed = 1

ApplicationMgr(
    TopAlg=[digitiser],
    EvtSel="NONE",
    EvtMax=-1,
    ExtSvc=[EventDataSvc("EventDataSvc")],
    OutputLevel=INFO,
)
