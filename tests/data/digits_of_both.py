"""Digits of barrel and endcaps by one component; a row of crystals is dead."""

from Configurables import CaloDigitiser
from k4FWCore import ApplicationMgr

digitiser = CaloDigitiser("CaloDigitiser")
digitiser.InputHits = ["EMCBarrelCollection", "EMCEndcapCollection"]
digitiser.OutputHits = ["EMCBarrelDigis", "EMCEndcapDigis"]
digitiser.OutputLinks = ["EMCBarrelDigiLinks", "EMCEndcapDigiLinks"]
digitiser.Detectors = ["BESIII_EMC_barrel", "BESIII_EMC_endcaps"]
digitiser.DeadCells = ["part=0,theta=5"]
ApplicationMgr().TopAlg += [digitiser]
