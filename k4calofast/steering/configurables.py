"""The objects of an options file: named components whose properties can be set.

They behave like Gaudi's: the class called again with a name returns the component of that
name; properties are attributes; what does not exist is refused, here with the nearest names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, ValidationError

from k4calofast.events.unique_id import DEFAULT_SEED
from k4calofast.exceptions import SteeringError
from k4calofast.properties import (
    CaloDigitiserProperties,
    CaloFastSimProperties,
    CaloHitMergerProperties,
    CaloParticleGunProperties,
    Properties,
    refused,
)

OUTPUT_LEVELS = {
    "VERBOSE": 1,
    "DEBUG": 2,
    "INFO": 3,
    "WARNING": 4,
    "ERROR": 5,
    "FATAL": 6,
    "ALWAYS": 7,
}
"""Gaudi's names for levels of output, and their numbers."""

_OUTPUT_LEVEL = "OutputLevel"
"""A property that every component of Gaudi has."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of these names were perhaps meant."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(names)}"


class IOSvcProperties(Properties):
    """Input and output of events."""

    Input: list[str] = Field([], description="EDM4hep files to read")
    Output: str = Field("", description="EDM4hep file to write (RNTuple)")
    CollectionNames: list[str] = Field([], description="collections to read; empty is all")
    outputCommands: list[str] = Field(  # noqa: N815 - k4FWCore's name
        ["keep *"],
        description="what to write: 'keep <pattern>', 'drop <pattern>', 'drop type <type>', "
        "applied in order",
    )
    OutputType: str = Field(
        "default", description="type of the output: default or rntuple, which are the same here"
    )
    FirstEventEntry: int = Field(0, ge=0, description="first event to read, counted from 0")
    ImportedFromk4FWCore: bool = Field(True, description="set by k4FWCore itself")


class ApplicationMgrProperties(Properties):
    """The job."""

    TopAlg: list[Any] = Field([], description="algorithms, in their order")
    EvtMax: int = Field(-1, ge=-1, description="number of events, -1 for all of the input")
    EvtSel: str = Field("NONE", description="kept for Gaudi; IOSvc reads the events")
    ExtSvc: list[Any] = Field([], description="kept for Gaudi; services start as needed")
    EventLoop: Any = Field(None, description="kept for Gaudi; this runtime has one event loop")
    MessageSvcType: str = Field("", description="kept for Gaudi")
    StopOnSignal: bool = Field(True, description="kept for Gaudi")
    OutputLevel: int = Field(3, ge=1, le=7, description="messages from this level on")


class UniqueIDGenSvcProperties(Properties):
    """k4FWCore's seeds: a hash of this seed, event, run and the algorithm's name."""

    Seed: int = Field(DEFAULT_SEED, ge=0, lt=1 << 64, description="seed of the job")
    CheckDuplicates: bool = Field(False, description="kept for Gaudi")


class EventHeaderCreatorProperties(Properties):
    """k4FWCore's headers for events without: one run, events counted from the job's first."""

    EventHeaderCollection: str = Field("EventHeader", description="EventHeader to write")
    runNumber: int = Field(1, ge=0, lt=1 << 32, description="run number")  # noqa: N815
    eventNumberOffset: int = Field(  # noqa: N815 - k4FWCore's names
        0, ge=0, lt=1 << 63, description="number of the first event"
    )


class _NoProperties(Properties):
    """No work here."""

    # Services of Gaudi may stand in an options file, with whatever is set of them.
    model_config = ConfigDict(extra="allow")


class Configurable:
    """A component of an options file.

    Parameters
    ----------
    name
        Its name, by default that of its class.
    values
        Properties to set.

    Raises
    ------
    SteeringError
        Here and at every access, if a property does not exist or does not take a value.
    """

    properties_type: ClassVar[type[Properties]] = Properties
    _all: ClassVar[dict[str, Configurable]] = {}

    def __new__(cls, name: str | None = None, **_values: Any) -> Configurable:
        """Return the component of this name, new or not."""
        name = cls.__name__ if name is None else name
        known = Configurable._all.get(name)
        if known is None:
            known = super().__new__(cls)
            # Plain assignment would set properties.
            object.__setattr__(known, "_name", name)
            object.__setattr__(known, "_properties", cls.properties_type())
            object.__setattr__(known, "_output_level", None)
            Configurable._all[name] = known
        elif type(known) is not cls:
            raise SteeringError(
                f"'{name}' is already the name of a {type(known).__name__}, not of a {cls.__name__}"
            )
        return known

    def __init__(self, _name: str | None = None, **values: Any) -> None:
        for key, value in values.items():
            setattr(self, key, value)

    @classmethod
    def all(cls) -> dict[str, Configurable]:
        """Return all components by name."""
        return dict(Configurable._all)

    def name(self) -> str:
        """Return the component's name."""
        return str(object.__getattribute__(self, "_name"))

    getName = name  # noqa: N815 - Gaudi's name

    @property
    def properties(self) -> Properties:
        """The component's properties and their values."""
        properties: Properties = object.__getattribute__(self, "_properties")
        return properties

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        if key == _OUTPUT_LEVEL and not self._declares(key):
            return object.__getattribute__(self, "_output_level")
        self._check_exists(key)
        return getattr(self.properties, key)

    def __setattr__(self, key: str, value: Any) -> None:
        if key == _OUTPUT_LEVEL and not self._declares(key):
            object.__setattr__(self, "_output_level", value)
            return
        self._check_exists(key)
        if self._declares(key) and isinstance(value, str):
            # One string where a list is wanted means a list of one, as in k4FWCore.
            default = type(self.properties).model_fields[key].default
            value = [value] if isinstance(default, list) else value
        try:
            setattr(self.properties, key, value)
        except ValidationError as error:
            raise refused(error, f"{self.name()}.{key}", value) from error

    def _declares(self, key: str) -> bool:
        return key in type(self.properties).model_fields

    def _check_exists(self, key: str) -> None:
        if not self._declares(key) and self.properties.model_config.get("extra") != "allow":
            raise SteeringError(
                f"{self.name()} ({type(self).__name__}) has no property '{key}'; "
                + nearest(key, type(self.properties).model_fields)
            )


def _configurable(name: str, properties: type[Properties]) -> type[Configurable]:
    """Class of the components that have these properties."""
    content = {"__doc__": properties.__doc__, "properties_type": properties}
    return type(name, (Configurable,), content)


IOSvc = _configurable("IOSvc", IOSvcProperties)
ApplicationMgr = _configurable("ApplicationMgr", ApplicationMgrProperties)

_PROPERTIES: dict[str, type[Properties]] = {
    "CaloFastSim": CaloFastSimProperties,
    "CaloParticleGun": CaloParticleGunProperties,
    "CaloHitMerger": CaloHitMergerProperties,
    "CaloDigitiser": CaloDigitiserProperties,
    "EventHeaderCreator": EventHeaderCreatorProperties,
    "UniqueIDGenSvc": UniqueIDGenSvcProperties,
    "EventDataSvc": _NoProperties,
    "HiveWhiteBoard": _NoProperties,
    "HiveSlimEventLoopMgr": _NoProperties,
    "AvalancheSchedulerSvc": _NoProperties,
    "EventLoopMgr": _NoProperties,
    "MessageSvc": _NoProperties,
    "MetadataSvc": _NoProperties,
}

COMPONENTS = {name: _configurable(name, properties) for name, properties in _PROPERTIES.items()}
"""What can be imported from ``Configurables``."""


def application() -> ApplicationMgrProperties:
    """Properties of the job."""
    properties = ApplicationMgr().properties
    if not isinstance(properties, ApplicationMgrProperties):
        raise TypeError(type(properties))
    return properties


def unique_id_seed() -> int | None:
    """Seed of the UniqueIDGenSvc, None if the options files have none."""
    component = Configurable.all().get("UniqueIDGenSvc")
    properties = None if component is None else component.properties
    return properties.Seed if isinstance(properties, UniqueIDGenSvcProperties) else None


def event_io() -> IOSvcProperties:
    """Properties of the input and output, the defaults if the options files have none."""
    component = Configurable.all().get("IOSvc")
    properties = IOSvcProperties() if component is None else component.properties
    if not isinstance(properties, IOSvcProperties):
        raise SteeringError("the name IOSvc belongs to k4FWCore's service")
    return properties
