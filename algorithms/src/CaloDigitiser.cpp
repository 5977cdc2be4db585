#include "Component.h"
#include "HitColumns.h"

#include <edm4hep/CaloHitSimCaloHitLinkCollection.h>
#include <edm4hep/CalorimeterHitCollection.h>

namespace k4calofast {

/// CalorimeterHits as measured from simulated ones.
class CaloDigitiser final
    : public Component<std::tuple<edm4hep::CalorimeterHitCollection, edm4hep::CaloHitSimCaloHitLinkCollection>(
                           const EventContext&, const edm4hep::SimCalorimeterHitCollection&,
                           const edm4hep::EventHeaderCollection&),
                       CaloDigitiserProperties> {
public:
  CaloDigitiser(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloDigitiser") {}

  std::tuple<edm4hep::CalorimeterHitCollection, edm4hep::CaloHitSimCaloHitLinkCollection>
  operator()(const EventContext& context, const edm4hep::SimCalorimeterHitCollection& simHits,
             const edm4hep::EventHeaderCollection& headers) const override {
    const auto fill = [&](Columns& columns) {
      addHeader(columns, headers);
      addSeed(columns, headers);
      addNumber(columns, context);
      addSimHits(columns, "sim", simHits);
    };
    return work(fill, [&](const Arrays& arrays) {
      const auto simHit = arrays.get<std::int32_t>("digits.hit");
      const auto cellID = arrays.get<std::uint64_t>("digits.cellID");
      const auto energy = arrays.get<float>("digits.energy");
      const auto energyError = arrays.get<float>("digits.energyError");
      const auto time = arrays.get<float>("digits.time");
      const auto position = arrays.get<float>("digits.position", 3);
      edm4hep::CalorimeterHitCollection hits;
      edm4hep::CaloHitSimCaloHitLinkCollection links;
      for (std::size_t i = 0; i < cellID.size(); ++i) {
        auto hit = hits.create();
        hit.setCellID(cellID[i]);
        hit.setEnergy(energy[i]);
        hit.setEnergyError(energyError[i]);
        hit.setTime(time[i]);
        hit.setPosition({position[3 * i], position[3 * i + 1], position[3 * i + 2]});
        auto link = links.create();
        link.setFrom(hit);
        link.setTo(simHits.at(static_cast<std::size_t>(simHit[i])));
        link.setWeight(1.0F);
      }
      return std::make_tuple(std::move(hits), std::move(links));
    });
  }

private:
  void putMetadata(const std::map<std::string, std::string>&) override {
    shareEncoding(*this, {inputLocations(0).front()}, outputLocations(0).front());
  }
};

DECLARE_COMPONENT_WITH_ID(CaloDigitiser, "CaloDigitiser")

} // namespace k4calofast
