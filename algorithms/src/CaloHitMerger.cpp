#include "Component.h"
#include "HitColumns.h"

namespace k4calofast {

/// Hits of the fast and of a full simulation become one collection.
class CaloHitMerger final
    : public Component<
          std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>(
              const edm4hep::MCParticleCollection&, const edm4hep::SimCalorimeterHitCollection&,
              const edm4hep::SimCalorimeterHitCollection&),
          CaloHitMergerProperties> {
public:
  CaloHitMerger(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloHitMerger") {}

  std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>
  operator()(const edm4hep::MCParticleCollection& particles, const edm4hep::SimCalorimeterHitCollection& fast,
             const edm4hep::SimCalorimeterHitCollection& full) const override {
    const auto fill = [&](Columns& columns) {
      addFamily(columns, particles);
      addSimHits(columns, "fast", fast);
      addSimHits(columns, "full", full);
    };
    return work(fill, [&](const Arrays& arrays) {
      auto [hits, contributions] = makeSimHits(arrays, particles);
      return std::make_tuple(std::move(hits), std::move(contributions));
    });
  }

private:
  /// Who was simulated, and who stems from whom.
  static void addFamily(Columns& columns, const edm4hep::MCParticleCollection& particles) {
    std::vector<std::int32_t> status;
    std::vector<std::int64_t> child, parent;
    for (const auto& particle : particles) {
      for (const auto& other : particle.getParents()) {
        const auto id = other.getObjectID();
        if (id.collectionID == particle.getObjectID().collectionID && id.index >= 0 &&
            static_cast<std::size_t>(id.index) < particles.size()) {
          child.push_back(static_cast<std::int64_t>(status.size()));
          parent.push_back(id.index);
        }
      }
      status.push_back(particle.getSimulatorStatus());
    }
    columns.add("particles.simulatorStatus", std::move(status));
    columns.add("parents.child", std::move(child));
    columns.add("parents.parent", std::move(parent));
  }

  void putMetadata(const std::map<std::string, std::string>&) override {
    shareEncoding(*this, {inputLocations(1).front(), inputLocations(2).front()}, outputLocations(0).front());
  }
};

DECLARE_COMPONENT_WITH_ID(CaloHitMerger, "CaloHitMerger")

} // namespace k4calofast
