#include "Component.h"
#include "HitColumns.h"

#include <edm4hep/CaloHitSimCaloHitLinkCollection.h>
#include <edm4hep/CalorimeterHitCollection.h>

namespace k4calofast {

/// What comes out: measured hits of each collection, and links from them to the simulated ones.
using CaloDigitiserOutputs =
    std::tuple<std::vector<edm4hep::CalorimeterHitCollection>, std::vector<edm4hep::CaloHitSimCaloHitLinkCollection>>;

/// CalorimeterHits as measured from simulated ones.
class CaloDigitiser final
    : public Component<CaloDigitiserOutputs(const EventContext&,
                                            const std::vector<const edm4hep::SimCalorimeterHitCollection*>&,
                                            const edm4hep::EventHeaderCollection&),
                       CaloDigitiserProperties> {
public:
  CaloDigitiser(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloDigitiser") {}

  CaloDigitiserOutputs operator()(const EventContext& context,
                                  const std::vector<const edm4hep::SimCalorimeterHitCollection*>& inputs,
                                  const edm4hep::EventHeaderCollection& headers) const override {
    const auto fill = [&](Columns& columns) {
      addHeader(columns, headers);
      addSeed(columns, headers);
      addNumber(columns, context);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        addSimHits(columns, "sim" + std::to_string(i), *inputs[i]);
      }
    };
    return work(fill, [&](const Arrays& arrays) {
      CaloDigitiserOutputs outputs;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        auto [hits, links] = makeDigits(arrays, "digits" + std::to_string(i), *inputs[i]);
        std::get<0>(outputs).push_back(std::move(hits));
        std::get<1>(outputs).push_back(std::move(links));
      }
      return outputs;
    });
  }

private:
  using Digits = std::pair<edm4hep::CalorimeterHitCollection, edm4hep::CaloHitSimCaloHitLinkCollection>;

  /// Measured hits of this name, and links from those with a deposit behind them.
  static Digits makeDigits(const Arrays& arrays, const std::string& name,
                           const edm4hep::SimCalorimeterHitCollection& simHits) {
    const auto simHit = arrays.get<std::int32_t>(name + ".hit");
    const auto cellID = arrays.get<std::uint64_t>(name + ".cellID");
    const auto energy = arrays.get<float>(name + ".energy");
    const auto energyError = arrays.get<float>(name + ".energyError");
    const auto time = arrays.get<float>(name + ".time");
    const auto position = arrays.get<float>(name + ".position", 3);
    Digits digits;
    auto& [hits, links] = digits;
    for (std::size_t i = 0; i < cellID.size(); ++i) {
      auto hit = hits.create();
      hit.setCellID(cellID[i]);
      hit.setEnergy(energy[i]);
      hit.setEnergyError(energyError[i]);
      hit.setTime(time[i]);
      hit.setPosition({position[3 * i], position[3 * i + 1], position[3 * i + 2]});
      if (simHit[i] < 0) {
        continue; // noise alone
      }
      auto link = links.create();
      link.setFrom(hit);
      link.setTo(simHits.at(static_cast<std::size_t>(simHit[i])));
      link.setWeight(1.0F);
    }
    return digits;
  }

  void putMetadata(const std::map<std::string, std::string>&) override {
    const auto inputs = inputLocations(0);
    const auto outputs = outputLocations(0);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      shareEncoding(*this, {inputs[i]}, outputs[i]);
    }
  }
};

DECLARE_COMPONENT_WITH_ID(CaloDigitiser, "CaloDigitiser")

} // namespace k4calofast
