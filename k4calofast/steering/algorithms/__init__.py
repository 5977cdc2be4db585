"""The components' work on chunks of frames: thin doors between frames and columns."""

from __future__ import annotations

from k4calofast.exceptions import SteeringError
from k4calofast.properties import (
    CaloDigitiserProperties,
    CaloFastSimProperties,
    CaloHitMergerProperties,
    CaloParticleGunProperties,
    Properties,
    refuse_names,
)
from k4calofast.steering.algorithms.algorithm import Algorithm, Job, refuse_other_encodings
from k4calofast.steering.configurables import EventHeaderCreatorProperties

__all__ = ["Algorithm", "Job", "create", "refuse_other_encodings"]


def create(name: str, properties: Properties, job: Job) -> Algorithm:
    """Create the algorithm that has these properties.

    Raises
    ------
    SteeringError
        If they are those of no algorithm, or name collections that cannot be.
    """
    refuse_names(properties)
    # Each imports what it needs and no more: ONNX Runtime, a detector's tables.
    match properties:
        case CaloFastSimProperties():
            from k4calofast.steering.algorithms.fastsim import CaloFastSim

            return CaloFastSim(name, properties, job)
        case CaloParticleGunProperties():
            from k4calofast.steering.algorithms.gun import CaloParticleGun

            return CaloParticleGun(properties)
        case EventHeaderCreatorProperties():
            from k4calofast.steering.algorithms.header import EventHeaderCreator

            return EventHeaderCreator(properties)
        case CaloHitMergerProperties():
            from k4calofast.steering.algorithms.merger import CaloHitMerger

            return CaloHitMerger(properties)
        case CaloDigitiserProperties():
            from k4calofast.steering.algorithms.digitiser import CaloDigitiser

            return CaloDigitiser(name, properties, job)
    raise SteeringError(f"{name} cannot be in TopAlg: it is not an algorithm")
