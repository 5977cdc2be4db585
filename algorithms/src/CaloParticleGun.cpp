#include "Component.h"

#include <edm4hep/MCParticleCollection.h>

namespace k4calofast {

/// Single particles shot from a vertex: MCParticles and EventHeader without a generator.
class CaloParticleGun final
    : public Component<std::tuple<edm4hep::MCParticleCollection, edm4hep::EventHeaderCollection>(const EventContext&),
                       CaloParticleGunProperties> {
public:
  CaloParticleGun(const std::string& name, ISvcLocator* locator) : Component(name, locator, "CaloParticleGun") {}

  std::tuple<edm4hep::MCParticleCollection, edm4hep::EventHeaderCollection>
  operator()(const EventContext& context) const override {
    const auto fill = [&](Columns& columns) { columns.add("number", std::vector<std::uint64_t>{context.evt()}); };
    return work(fill, [](const Arrays& arrays) {
      edm4hep::EventHeaderCollection headers;
      auto header = headers.create();
      header.setRunNumber(arrays.get<std::uint32_t>("header.run")[0]);
      header.setEventNumber(arrays.get<std::uint64_t>("header.event")[0]);
      header.setWeight(1.0);

      const auto pdg = arrays.get<std::int32_t>("particles.PDG");
      const auto generatorStatus = arrays.get<std::int32_t>("particles.generatorStatus");
      const auto charge = arrays.get<double>("particles.charge");
      const auto mass = arrays.get<double>("particles.mass");
      const auto vertex = arrays.get<double>("particles.vertex", 3);
      const auto momentum = arrays.get<double>("particles.momentum", 3);
      edm4hep::MCParticleCollection particles;
      for (std::size_t i = 0; i < pdg.size(); ++i) {
        auto particle = particles.create();
        particle.setPDG(pdg[i]);
        particle.setGeneratorStatus(generatorStatus[i]);
        particle.setCharge(static_cast<float>(charge[i]));
        particle.setMass(mass[i]);
        particle.setVertex({vertex[3 * i], vertex[3 * i + 1], vertex[3 * i + 2]});
        particle.setMomentum({momentum[3 * i], momentum[3 * i + 1], momentum[3 * i + 2]});
      }
      return std::make_tuple(std::move(particles), std::move(headers));
    });
  }
};

DECLARE_COMPONENT_WITH_ID(CaloParticleGun, "CaloParticleGun")

} // namespace k4calofast
