// Made by `python -m k4calofast.gaudi.properties_header`; change k4calofast/properties.py instead.
// clang-format off
#pragma once

#include <Gaudi/Property.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace k4calofast {

/// A property that names collections.
struct CollectionProperty {
  const char* name;
  std::vector<std::string> value;
  const char* doc;
};

/// Calorimeter hits of particles, from a trained generator.
struct CaloFastSimProperties {
  static std::array<CollectionProperty, 2> inputs() {
    return {
        CollectionProperty{"InputMCParticles", {"MCParticles"},
                           "MCParticles to simulate; of a subset collection, as another component's OutputNotHandled, those that it lists"},
        CollectionProperty{"InputEventHeader", {"EventHeader"},
                           "EventHeader with the numbers that seed the noise"},
    };
  }

  static std::array<CollectionProperty, 4> outputs() {
    return {
        CollectionProperty{"OutputHits", {},
                           "SimCalorimeterHits to write, one collection for each region, and for each calorimeter that showers go on into; what is left out has the detectors' usual names, as EMCBarrelCollection"},
        CollectionProperty{"OutputContributions", {},
                           "their CaloHitContributions; what is left out has the detectors' usual names, as EMCBarrelCollectionContributions"},
        CollectionProperty{"OutputNotHandled", {"MCParticlesNotHandled"},
                           "subset of the MCParticles that still wait for a calorimeter simulation"},
        CollectionProperty{"OutputMCParticles", {},
                           "copy of the MCParticles with the simulated ones flagged 'handled by fast simulation', for hits and particles not handled to point to; empty is no copy"},
    };
  }

  template <typename Owner>
  explicit CaloFastSimProperties(Owner* owner)
      : Model{owner, "Model", "besiii_emc/accurate",
        "folder of the model, or its name or that of a set of models in the package or in a folder of K4CALOFAST_MODEL_PATH"},
        Seed{owner, "Seed", 1,
        "seed of the noise, used with run, event and particle number; with UniqueIDGenSvc in the job, that service seeds each event instead"},
        PDG{owner, "PDG", {},
        "kinds of particles to simulate; empty is all that the model knows"},
        OutOfRange{owner, "OutOfRange", "auto",
        "what to do with a particle outside the range of all models for its kind: hand it on, simulate it at the edge of the nearest range, or stop the job; auto is what the set of models says, and hands it on if it says nothing"},
        AlternativeStableStatuses{owner, "AlternativeStableStatuses", {},
        "generatorStatus of final-state particles, beside 1; as ddsim's property of this name"},
        ChargeAndMass{owner, "ChargeAndMass", "mend",
        "what to do with particles whose charge or mass are 0 or contradict the PDG number: take those of the number and warn, or stop the job"},
        MaxEnergy{owner, "MaxEnergy", 1000000.0,
        "largest momentum or mass of a particle in GeV; more is damage, and stops the job"},
        MaxUnexplained{owner, "MaxUnexplained", 1.0,
        "largest share of the incoming energy of which the record may not say where it went; with more, the job fails at its end"},
        RepeatedKeys{owner, "RepeatedKeys", "warn",
        "what to do when events with showers share run and event number, and so their noise: warn, take an event's place in the job for its number, or stop the job"},
        HitThreshold{owner, "HitThreshold", 0.0,
        "smallest energy of a hit, in units of what a minimum ionising particle leaves in a layer of its region; hits below are left out and counted. In regions without layers, as crystals, it does nothing, and the job warns"},
        OtherKinds{owner, "OtherKinds", "skip",
        "what to do with a kind of particle that the model does not simulate: hand it on, or stop the job"},
        Provider{owner, "Provider", "auto",
        "where to run the model; auto is CUDA if it is there, else the CPU"},
        Threads{owner, "Threads", 1,
        "threads for inference; results do not depend on it"},
        InferenceTimeout{owner, "InferenceTimeout", 600.0,
        "seconds that one call of the model may take before the job stops; 0 is no limit"},
        BatchSize{owner, "BatchSize", 4096,
        "showers generated in one go, at most; results do not depend on it"},
        CollectEvents{owner, "CollectEvents", 32,
        "events of concurrent slots simulated in one go, at most; results do not depend on it"},
        CollectTime{owner, "CollectTime", 1.0,
        "time in ms that an event waits for those of other slots, at most; none waits where events come one by one"} {}

  /// Calls `visit` with the name and value of each property that names no collection.
  template <typename Visitor>
  void each(Visitor&& visit) const {
    visit("Model", Model.value());
    visit("Seed", Seed.value());
    visit("PDG", PDG.value());
    visit("OutOfRange", OutOfRange.value());
    visit("AlternativeStableStatuses", AlternativeStableStatuses.value());
    visit("ChargeAndMass", ChargeAndMass.value());
    visit("MaxEnergy", MaxEnergy.value());
    visit("MaxUnexplained", MaxUnexplained.value());
    visit("RepeatedKeys", RepeatedKeys.value());
    visit("HitThreshold", HitThreshold.value());
    visit("OtherKinds", OtherKinds.value());
    visit("Provider", Provider.value());
    visit("Threads", Threads.value());
    visit("InferenceTimeout", InferenceTimeout.value());
    visit("BatchSize", BatchSize.value());
    visit("CollectEvents", CollectEvents.value());
    visit("CollectTime", CollectTime.value());
  }

  Gaudi::Property<std::string> Model;
  Gaudi::Property<std::uint64_t> Seed;
  Gaudi::Property<std::vector<int>> PDG;
  Gaudi::Property<std::string> OutOfRange;
  Gaudi::Property<std::vector<int>> AlternativeStableStatuses;
  Gaudi::Property<std::string> ChargeAndMass;
  Gaudi::Property<double> MaxEnergy;
  Gaudi::Property<double> MaxUnexplained;
  Gaudi::Property<std::string> RepeatedKeys;
  Gaudi::Property<double> HitThreshold;
  Gaudi::Property<std::string> OtherKinds;
  Gaudi::Property<std::string> Provider;
  Gaudi::Property<std::int64_t> Threads;
  Gaudi::Property<double> InferenceTimeout;
  Gaudi::Property<std::int64_t> BatchSize;
  Gaudi::Property<std::int64_t> CollectEvents;
  Gaudi::Property<double> CollectTime;
};

/// Hits of the fast and of a full simulation become one collection.
struct CaloHitMergerProperties {
  static std::array<CollectionProperty, 4> inputs() {
    return {
        CollectionProperty{"InputMCParticles", {"MCParticles"},
                           "MCParticles that the merged contributions point to, with those of the fast simulation flagged; contributions may point to copies of them, such as the particles without flags. Contributions of other particles are kept and counted"},
        CollectionProperty{"InputNotHandled", {"MCParticlesNotHandled"},
                           "subset of them that the fast simulation has handed on: what the full simulation knows of them and their descendants stays"},
        CollectionProperty{"InputFastHits", {"EMCBarrelCollectionFast"},
                           "SimCalorimeterHits of the fast simulation"},
        CollectionProperty{"InputFullHits", {"EMCBarrelCollectionFull"},
                           "SimCalorimeterHits of the full simulation"},
    };
  }

  static std::array<CollectionProperty, 2> outputs() {
    return {
        CollectionProperty{"OutputHits", {"EMCBarrelCollection"},
                           "merged SimCalorimeterHits to write"},
        CollectionProperty{"OutputContributions", {"EMCBarrelCollectionContributions"},
                           "their CaloHitContributions"},
    };
  }

  template <typename Owner>
  explicit CaloHitMergerProperties(Owner* owner)
      : Overlap{owner, "Overlap", "drop",
        "what to do with the full simulation's contributions of particles that the fast one has simulated, or of descendants that set out from behind the face: leave them out, keep both, or stop the job"} {}

  /// Calls `visit` with the name and value of each property that names no collection.
  template <typename Visitor>
  void each(Visitor&& visit) const {
    visit("Overlap", Overlap.value());
  }

  Gaudi::Property<std::string> Overlap;
};

/// CalorimeterHits as measured from simulated ones; the defaults are BESIII's.
struct CaloDigitiserProperties {
  static std::array<CollectionProperty, 2> inputs() {
    return {
        CollectionProperty{"InputHits", {"EMCBarrelCollection"},
                           "SimCalorimeterHits to digitise, in any number of collections"},
        CollectionProperty{"InputEventHeader", {"EventHeader"},
                           "EventHeader with the numbers that seed the noise"},
    };
  }

  static std::array<CollectionProperty, 2> outputs() {
    return {
        CollectionProperty{"OutputHits", {"EMCBarrelDigis"},
                           "CalorimeterHits to write, a collection for each of InputHits"},
        CollectionProperty{"OutputLinks", {"EMCBarrelDigiLinks"},
                           "links from them to the simulated hits, a collection for each of InputHits; hits of noise alone have none"},
    };
  }

  template <typename Owner>
  explicit CaloDigitiserProperties(Owner* owner)
      : Detectors{owner, "Detectors", {"BESIII_EMC_barrel"},
        "calorimeters that have the cells, one for each of InputHits, by name or file; if empty, only cells with a deposit are known: without one there is no noise, and nothing can be said of single cells"},
        EmptyCells{owner, "EmptyCells", true,
        "whether cells without a deposit have noise, too; not without Detectors"},
        LightYield{owner, "LightYield", 5000.0,
        "photoelectrons per MeV; 0 for no fluctuation of the light"},
        Noise{owner, "Noise", 0.255,
        "electronic noise of a cell in MeV, standard deviation"},
        NoiseMean{owner, "NoiseMean", 0.045,
        "mean of the noise in MeV in cells without a deposit, where a search for the peak of a pulse finds the largest of several samples"},
        Uniformity{owner, "Uniformity", 0.01,
        "spread of a cell's response from hit to hit, as a fraction of its energy: light is not collected alike from all depths of a crystal, and hits do not tell depths"},
        Threshold{owner, "Threshold", 0.5,
        "smallest signal that is read out, in MeV before calibration"},
        TimeResolution{owner, "TimeResolution", 15.0,
        "error of a hit's time in ns, standard deviation"},
        NoiseTimes{owner, "NoiseTimes", {-1000.0, 2000.0},
        "earliest and latest time in ns of hits of noise alone, which are uniform in between"},
        RepeatedKeys{owner, "RepeatedKeys", "warn",
        "what to do when events share run and event number, and so their noise: warn, take an event's place in the job for its number, or stop the job"},
        Calibration{owner, "Calibration", 1.0,
        "factor from signal to energy, of all cells"},
        CalibrationFile{owner, "CalibrationFile", "",
        "CSV, YAML or JSON with single cells' response, constant and whether they are dead; see docs/electronics.md"},
        DeadCells{owner, "DeadCells", {},
        "cells that measure nothing: cell IDs, or values of the fields of the encoding, as 'part=1,theta=20,phi=7'; without phi, all of the ring"},
        Seed{owner, "Seed", 1,
        "seed of the errors, used with run, event and cell; with UniqueIDGenSvc in the job, that service seeds each event instead"} {}

  /// Calls `visit` with the name and value of each property that names no collection.
  template <typename Visitor>
  void each(Visitor&& visit) const {
    visit("Detectors", Detectors.value());
    visit("EmptyCells", EmptyCells.value());
    visit("LightYield", LightYield.value());
    visit("Noise", Noise.value());
    visit("NoiseMean", NoiseMean.value());
    visit("Uniformity", Uniformity.value());
    visit("Threshold", Threshold.value());
    visit("TimeResolution", TimeResolution.value());
    visit("NoiseTimes", NoiseTimes.value());
    visit("RepeatedKeys", RepeatedKeys.value());
    visit("Calibration", Calibration.value());
    visit("CalibrationFile", CalibrationFile.value());
    visit("DeadCells", DeadCells.value());
    visit("Seed", Seed.value());
  }

  Gaudi::Property<std::vector<std::string>> Detectors;
  Gaudi::Property<bool> EmptyCells;
  Gaudi::Property<double> LightYield;
  Gaudi::Property<double> Noise;
  Gaudi::Property<double> NoiseMean;
  Gaudi::Property<double> Uniformity;
  Gaudi::Property<double> Threshold;
  Gaudi::Property<double> TimeResolution;
  Gaudi::Property<std::vector<double>> NoiseTimes;
  Gaudi::Property<std::string> RepeatedKeys;
  Gaudi::Property<double> Calibration;
  Gaudi::Property<std::string> CalibrationFile;
  Gaudi::Property<std::vector<std::string>> DeadCells;
  Gaudi::Property<std::uint64_t> Seed;
};

/// Single particles shot from a vertex: MCParticles and EventHeader without a generator.
struct CaloParticleGunProperties {
  static std::array<CollectionProperty, 0> inputs() {
    return {
    };
  }

  static std::array<CollectionProperty, 2> outputs() {
    return {
        CollectionProperty{"OutputMCParticles", {"MCParticles"},
                           "MCParticles to write"},
        CollectionProperty{"OutputEventHeader", {"EventHeader"},
                           "EventHeader to write"},
    };
  }

  template <typename Owner>
  explicit CaloParticleGunProperties(Owner* owner)
      : PDG{owner, "PDG", {22},
        "kinds of particles; each particle is one of them"},
        ParticlesPerEvent{owner, "ParticlesPerEvent", 1,
        "particles in each event"},
        MomentumMin{owner, "MomentumMin", 0.1,
        "smallest momentum in GeV"},
        MomentumMax{owner, "MomentumMax", 1.0,
        "largest momentum in GeV"},
        MomentumLog{owner, "MomentumLog", false,
        "draw the logarithm of the momentum uniformly, not the momentum"},
        ThetaMin{owner, "ThetaMin", 0.0,
        "smallest polar angle in degrees"},
        ThetaMax{owner, "ThetaMax", 180.0,
        "largest polar angle in degrees"},
        PhiMin{owner, "PhiMin", 0.0,
        "smallest azimuth in degrees"},
        PhiMax{owner, "PhiMax", 360.0,
        "largest azimuth in degrees"},
        Vertex{owner, "Vertex", {0.0, 0.0, 0.0},
        "mean x, y, z of the vertex in mm"},
        VertexSigma{owner, "VertexSigma", {0.0, 0.0, 0.0},
        "its Gaussian spread in mm"},
        Run{owner, "Run", 1,
        "run number"},
        FirstEvent{owner, "FirstEvent", 0,
        "number of the first event"},
        Seed{owner, "Seed", 1,
        "seed, used with run and event number"} {}

  /// Calls `visit` with the name and value of each property that names no collection.
  template <typename Visitor>
  void each(Visitor&& visit) const {
    visit("PDG", PDG.value());
    visit("ParticlesPerEvent", ParticlesPerEvent.value());
    visit("MomentumMin", MomentumMin.value());
    visit("MomentumMax", MomentumMax.value());
    visit("MomentumLog", MomentumLog.value());
    visit("ThetaMin", ThetaMin.value());
    visit("ThetaMax", ThetaMax.value());
    visit("PhiMin", PhiMin.value());
    visit("PhiMax", PhiMax.value());
    visit("Vertex", Vertex.value());
    visit("VertexSigma", VertexSigma.value());
    visit("Run", Run.value());
    visit("FirstEvent", FirstEvent.value());
    visit("Seed", Seed.value());
  }

  Gaudi::Property<std::vector<int>> PDG;
  Gaudi::Property<std::int64_t> ParticlesPerEvent;
  Gaudi::Property<double> MomentumMin;
  Gaudi::Property<double> MomentumMax;
  Gaudi::Property<bool> MomentumLog;
  Gaudi::Property<double> ThetaMin;
  Gaudi::Property<double> ThetaMax;
  Gaudi::Property<double> PhiMin;
  Gaudi::Property<double> PhiMax;
  Gaudi::Property<std::vector<double>> Vertex;
  Gaudi::Property<std::vector<double>> VertexSigma;
  Gaudi::Property<std::int64_t> Run;
  Gaudi::Property<std::int64_t> FirstEvent;
  Gaudi::Property<std::uint64_t> Seed;
};

} // namespace k4calofast
