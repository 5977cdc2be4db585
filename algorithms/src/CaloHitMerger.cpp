#include "Component.h"
#include "HitColumns.h"

namespace k4calofast {

/// Hits of the fast and of a full simulation become one collection.
class CaloHitMerger final
    : public Component<std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>(
                           const EventContext&, const edm4hep::MCParticleCollection&,
                           const edm4hep::MCParticleCollection&, const edm4hep::SimCalorimeterHitCollection&,
                           const edm4hep::SimCalorimeterHitCollection&),
                       CaloHitMergerProperties> {
public:
  CaloHitMerger(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloHitMerger") {}

  std::tuple<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>
  operator()(const EventContext& context, const edm4hep::MCParticleCollection& particles,
             const edm4hep::MCParticleCollection& notHandled, const edm4hep::SimCalorimeterHitCollection& fast,
             const edm4hep::SimCalorimeterHitCollection& full) const override {
    if (particles.isSubsetCollection()) {
      throw GaudiException("InputMCParticles: '" + inputLocations(0).front() +
                               "' is a subset collection; the collection itself is needed",
                           name(), StatusCode::FAILURE);
    }
    ParticleRows rows{particles};
    const auto fill = [&](Columns& columns) {
      addNumber(columns, context);
      addParticles(columns, particles);
      addFamily(columns, particles);
      addSubset(columns, notHandled, rows);
      addSimHits(columns, "fast", fast, &rows);
      addSimHits(columns, "full", full, &rows);
      // When all that point to them are known.
      addOthers(columns, rows);
    };
    return work(fill, [&](const Arrays& arrays) {
      auto [hits, contributions] = makeSimHits(arrays, "merged", rows);
      return std::make_tuple(std::move(hits), std::move(contributions));
    });
  }

private:
  static void addSubset(Columns& columns, const edm4hep::MCParticleCollection& notHandled, ParticleRows& rows) {
    std::vector<std::int32_t> waiting;
    for (const auto& particle : notHandled) {
      waiting.push_back(rows.rowOf(particle));
    }
    columns.add("notHandled", std::move(waiting));
  }

  void putMetadata(const std::map<std::string, std::string>&) override {
    shareEncoding(*this, {inputLocations(2).front(), inputLocations(3).front()}, outputLocations(0).front());
  }
};

DECLARE_COMPONENT_WITH_ID(CaloHitMerger, "CaloHitMerger")

} // namespace k4calofast
