#include "Component.h"
#include "HitColumns.h"

namespace k4calofast {

/// Calorimeter hits of particles, from a trained generator.
class CaloFastSim final
    : public Component<
          std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection,
                     edm4hep::MCParticleCollection, std::vector<edm4hep::MCParticleCollection>>(
              const EventContext&, const edm4hep::MCParticleCollection&, const edm4hep::EventHeaderCollection&),
          CaloFastSimProperties> {
public:
  CaloFastSim(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloFastSim") {}

  std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection,
             edm4hep::MCParticleCollection, std::vector<edm4hep::MCParticleCollection>>
  operator()(const EventContext& context, const edm4hep::MCParticleCollection& particles,
             const edm4hep::EventHeaderCollection& headers) const override {
    if (particles.isSubsetCollection()) {
      throw GaudiException("InputMCParticles: '" + inputLocations(0).front() +
                               "' is a subset collection; the collection itself is needed",
                           name(), StatusCode::FAILURE);
    }
    const auto fill = [&](Columns& columns) {
      addHeader(columns, headers);
      addSeed(columns, headers);
      addNumber(columns, context);
      addParticles(columns, particles);
      addFamily(columns, particles);
    };
    return work(fill, [&](const Arrays& arrays) {
      // Hits and particles not handled point to the flagged copies, if these are asked for.
      std::vector<edm4hep::MCParticleCollection> flagged;
      if (outputLocations(3).size() == 1) {
        flagged.push_back(withStatus(particles, arrays.get<std::int32_t>("simulatorStatus")));
      }
      const auto& targets = flagged.empty() ? particles : flagged.front();
      auto [hits, contributions] = makeSimHits(arrays, ParticleRows{targets});
      edm4hep::MCParticleCollection notHandled;
      notHandled.setSubsetCollection();
      for (const auto index : arrays.get<std::int32_t>("notHandled")) {
        notHandled.push_back(targets.at(static_cast<std::size_t>(index)));
      }
      putFates(arrays);
      return std::make_tuple(std::move(hits), std::move(contributions), std::move(notHandled), std::move(flagged));
    });
  }

private:
  /// How many particles had which fate, and their energy, in the order of the metadata's FateNames.
  void putFates(const Arrays& arrays) const {
    const std::string prefix = outputLocations(0).front() + "__";
    const auto numbers = arrays.get<std::int32_t>("fateNumbers");
    const auto energies = arrays.get<double>("fateEnergies");
    putFrameParameter(prefix + "FateNumbers", std::vector<int>(numbers.begin(), numbers.end()));
    putFrameParameter(prefix + "FateEnergies", std::vector<double>(energies.begin(), energies.end()));
  }

  /// Models are named by output, so that those of all passes over a file are kept.
  void putMetadata(const std::map<std::string, std::string>& facts) override {
    const std::string hits = outputLocations(0).front();
    const auto metadata = service<IMetadataSvc>("MetadataSvc", false);
    if (!metadata) {
      throw PythonError("the job has no MetadataSvc");
    }
    for (const auto& [key, value] : facts) {
      if (key == edm4hep::labels::CellIDEncoding) {
        putEncoding(*this, hits, value);
      } else {
        // Not by putParameter: hits of this name that are no longer there may have had another model.
        metadata->put<std::string>(podio::collMetadataParamName(hits, key), value);
      }
    }
  }
};

DECLARE_COMPONENT_WITH_ID(CaloFastSim, "CaloFastSim")

} // namespace k4calofast
