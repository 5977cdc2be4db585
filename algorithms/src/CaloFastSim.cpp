#include "Component.h"
#include "HitColumns.h"

#include <algorithm>

namespace k4calofast {

/// What comes out: hits and contributions of each region, particles not handled, flagged copies.
using CaloFastSimOutputs =
    std::tuple<std::vector<edm4hep::SimCalorimeterHitCollection>, std::vector<edm4hep::CaloHitContributionCollection>,
               edm4hep::MCParticleCollection, std::vector<edm4hep::MCParticleCollection>>;

/// Calorimeter hits of particles, from trained generators.
class CaloFastSim final : public Component<CaloFastSimOutputs(const EventContext&, const edm4hep::MCParticleCollection&,
                                                              const edm4hep::EventHeaderCollection&),
                                           CaloFastSimProperties> {
public:
  CaloFastSim(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloFastSim") {}

  CaloFastSimOutputs operator()(const EventContext& context, const edm4hep::MCParticleCollection& meant,
                                const edm4hep::EventHeaderCollection& headers) const override {
    const auto& particles = meant.isSubsetCollection() ? wholeOf(meant) : meant;
    const auto fill = [&](Columns& columns) {
      addHeader(columns, headers);
      addSeed(columns, headers);
      addNumber(columns, context);
      addParticles(columns, particles);
      addFamily(columns, particles);
      if (meant.isSubsetCollection()) {
        addListed(columns, meant);
      }
    };
    return work(fill, [&](const Arrays& arrays) {
      CaloFastSimOutputs outputs;
      auto& [hits, contributions, notHandled, flagged] = outputs;
      // Hits and particles not handled point to the flagged copies, if these are asked for.
      if (outputLocations(3).size() == 1) {
        flagged.push_back(withStatus(particles, arrays.get<std::int32_t>("simulatorStatus")));
      }
      const auto& targets = flagged.empty() ? particles : flagged.front();
      for (std::size_t region = 0; region < outputLocations(0).size(); ++region) {
        auto made = makeSimHits(arrays, "region" + std::to_string(region), ParticleRows{targets});
        hits.push_back(std::move(made.first));
        contributions.push_back(std::move(made.second));
      }
      notHandled.setSubsetCollection();
      for (const auto index : arrays.get<std::int32_t>("notHandled")) {
        notHandled.push_back(targets.at(static_cast<std::size_t>(index)));
      }
      putFates(arrays);
      return outputs;
    });
  }

private:
  /// The collection that a subset lists particles of. If it lists none, that is known from the metadata or
  /// does not matter: it is an empty one then.
  /// @throws GaudiException if they are of several collections, or of one that is not in the event
  const edm4hep::MCParticleCollection& wholeOf(const edm4hep::MCParticleCollection& subset) const {
    const std::string input = inputLocations(0).front();
    if (!outputLocations(3).empty() && m_whole.empty()) {
      throw GaudiException("OutputMCParticles copies a collection, and the metadata do not say which one "
                           "InputMCParticles '" +
                               input + "' is a subset of: leave OutputMCParticles empty",
                           name(), StatusCode::FAILURE);
    }
    const edm4hep::MCParticleCollection* whole = nullptr;
    std::string names;
    eachCollection([&](const std::string& location, const podio::CollectionBase& collection) {
      const auto* particles = dynamic_cast<const edm4hep::MCParticleCollection*>(&collection);
      if (!particles || particles->isSubsetCollection()) {
        return;
      }
      const auto isOfThese = [&](const auto& particle) { return isIn(*particles, particle); };
      if (subset.empty() ? location == m_whole : std::ranges::any_of(subset, isOfThese)) {
        names += (names.empty() ? "" : ", ") + location;
        whole = particles;
      }
    });
    if (!whole && subset.empty()) {
      static const edm4hep::MCParticleCollection nobody;
      return nobody;
    }
    const std::string what = "InputMCParticles: '" + input + "' lists particles ";
    if (!whole) {
      throw GaudiException(what + "that are not in the event", name(), StatusCode::FAILURE);
    }
    if (!std::ranges::all_of(subset, [&](const auto& particle) { return isIn(*whole, particle); })) {
      throw GaudiException(what + "of several collections (" + names + "); those of one are needed", name(),
                           StatusCode::FAILURE);
    }
    return *whole;
  }

  /// How many particles had which fate, and their energy, in the order of the metadata's FateNames.
  void putFates(const Arrays& arrays) const {
    const std::string prefix = outputLocations(0).front() + "__";
    const auto numbers = arrays.get<std::int32_t>("fateNumbers");
    const auto energies = arrays.get<double>("fateEnergies");
    putFrameParameter(prefix + "FateNumbers", std::vector<int>(numbers.begin(), numbers.end()));
    putFrameParameter(prefix + "FateEnergies", std::vector<double>(energies.begin(), energies.end()));
  }

  void putMetadata(const std::map<std::string, std::string>& said) override {
    const auto metadata = service<IMetadataSvc>("MetadataSvc", false);
    if (!metadata) {
      throw PythonError("the job has no MetadataSvc");
    }
    std::map<std::string, std::string> hitsOf;
    for (const auto& hits : outputLocations(0)) {
      hitsOf[podio::collMetadataParamName(hits, edm4hep::labels::CellIDEncoding)] = hits;
    }
    for (const auto& [key, value] : said) {
      if (const auto found = hitsOf.find(key); found != hitsOf.end()) {
        putEncoding(*this, found->second, value);
      } else {
        // Not by putParameter: hits of this name that are no longer there may have had another model.
        metadata->put<std::string>(key, value);
      }
    }
    const auto subsetOf = [](const std::string& subset) { return podio::collMetadataParamName(subset, "SubsetOf"); };
    const std::string input = inputLocations(0).front();
    m_whole = metadata->get<std::string>(subsetOf(input)).value_or("");
    metadata->put<std::string>(subsetOf(outputLocations(2).front()), !outputLocations(3).empty()
                                                                         ? outputLocations(3).front()
                                                                     : m_whole.empty() ? input
                                                                                       : m_whole);
  }

  /// The collection that the input is a subset of, if the metadata say so.
  std::string m_whole;
};

DECLARE_COMPONENT_WITH_ID(CaloFastSim, "CaloFastSim")

} // namespace k4calofast
