#include "HitColumns.h"

namespace k4calofast {

namespace {

  void append(std::vector<double>& column, const edm4hep::Vector3d& vector) {
    column.insert(column.end(), {vector.x, vector.y, vector.z});
  }
  void append(std::vector<float>& column, const edm4hep::Vector3f& vector) {
    column.insert(column.end(), {vector.x, vector.y, vector.z});
  }

  edm4hep::Vector3f vectorAt(std::span<const float> column, std::size_t row) {
    return {column[3 * row], column[3 * row + 1], column[3 * row + 2]};
  }

  template <typename T>
  std::vector<T> columnOf(std::size_t rows) {
    std::vector<T> column;
    column.reserve(rows);
    return column;
  }

  template <typename Particles>
  void addParticlesAs(Columns& columns, const std::string& name, const Particles& particles) {
    const auto count = particles.size();
    auto pdg = columnOf<std::int32_t>(count);
    auto generatorStatus = columnOf<std::int32_t>(count);
    auto simulatorStatus = columnOf<std::int32_t>(count);
    auto charge = columnOf<float>(count);
    auto time = columnOf<float>(count);
    auto mass = columnOf<double>(count);
    auto vertex = columnOf<double>(3 * count);
    auto endpoint = columnOf<double>(3 * count);
    auto momentum = columnOf<double>(3 * count);
    auto momentumAtEndpoint = columnOf<double>(3 * count);
    for (const auto& particle : particles) {
      pdg.push_back(particle.getPDG());
      generatorStatus.push_back(particle.getGeneratorStatus());
      simulatorStatus.push_back(particle.getSimulatorStatus());
      charge.push_back(particle.getCharge());
      time.push_back(particle.getTime());
      mass.push_back(particle.getMass());
      append(vertex, particle.getVertex());
      append(endpoint, particle.getEndpoint());
      append(momentum, particle.getMomentum());
      append(momentumAtEndpoint, particle.getMomentumAtEndpoint());
    }
    columns.add(name + ".PDG", std::move(pdg));
    columns.add(name + ".generatorStatus", std::move(generatorStatus));
    columns.add(name + ".simulatorStatus", std::move(simulatorStatus));
    columns.add(name + ".charge", std::move(charge));
    columns.add(name + ".time", std::move(time));
    columns.add(name + ".mass", std::move(mass));
    columns.add(name + ".vertex", std::move(vertex), 3);
    columns.add(name + ".endpoint", std::move(endpoint), 3);
    columns.add(name + ".momentum", std::move(momentum), 3);
    columns.add(name + ".momentumAtEndpoint", std::move(momentumAtEndpoint), 3);
  }

} // namespace

bool isIn(const edm4hep::MCParticleCollection& particles, const edm4hep::MCParticle& particle) {
  if (!particle.isAvailable()) {
    return false;
  }
  const auto index = particle.getObjectID().index;
  return index >= 0 && static_cast<std::size_t>(index) < particles.size() &&
         particles[static_cast<std::size_t>(index)] == particle;
}

bool ParticleRows::isOurs(const edm4hep::MCParticle& particle) const { return isIn(m_particles, particle); }

std::int32_t ParticleRows::rowOf(const edm4hep::MCParticle& particle) {
  if (!particle.isAvailable()) {
    return -1;
  }
  if (isOurs(particle)) {
    return particle.getObjectID().index;
  }
  const auto next = static_cast<std::int32_t>(m_particles.size() + m_others.size());
  const auto [found, isNew] = m_rows.try_emplace(particle, next);
  if (isNew) {
    m_others.push_back(particle);
  }
  return found->second;
}

edm4hep::MCParticle ParticleRows::at(std::size_t row) const {
  return row < m_particles.size() ? m_particles[row] : m_others.at(row - m_particles.size());
}

void addHeader(Columns& columns, const edm4hep::EventHeaderCollection& headers) {
  std::vector<std::uint32_t> run;
  std::vector<std::uint64_t> event;
  for (const auto& header : headers) {
    run.push_back(header.getRunNumber());
    event.push_back(header.getEventNumber());
  }
  columns.add("header.run", std::move(run));
  columns.add("header.event", std::move(event));
}

void addParticles(Columns& columns, const edm4hep::MCParticleCollection& particles) {
  addParticlesAs(columns, "particles", particles);
}

void addFamily(Columns& columns, const edm4hep::MCParticleCollection& particles) {
  std::vector<std::int64_t> child, parent;
  std::int64_t row = 0;
  for (const auto& particle : particles) {
    for (const auto& other : particle.getParents()) {
      if (isIn(particles, other)) {
        child.push_back(row);
        parent.push_back(other.getObjectID().index);
      }
    }
    for (const auto& other : particle.getDaughters()) {
      if (isIn(particles, other)) {
        child.push_back(other.getObjectID().index);
        parent.push_back(row);
      }
    }
    ++row;
  }
  columns.add("parents.child", std::move(child));
  columns.add("parents.parent", std::move(parent));
}

void addListed(Columns& columns, const edm4hep::MCParticleCollection& subset) {
  auto listed = columnOf<std::int64_t>(subset.size());
  for (const auto& particle : subset) {
    listed.push_back(particle.getObjectID().index);
  }
  columns.add("listed", std::move(listed));
}

void addOthers(Columns& columns, const ParticleRows& rows) {
  addParticlesAs(columns, "others", rows.others());
  auto index = columnOf<std::int64_t>(rows.others().size());
  for (const auto& particle : rows.others()) {
    index.push_back(particle.getObjectID().index);
  }
  columns.add("others.index", std::move(index));
}

void addSimHits(Columns& columns, const std::string& name, const edm4hep::SimCalorimeterHitCollection& hits,
                ParticleRows* rows) {
  const auto count = hits.size();
  auto cellID = columnOf<std::uint64_t>(count);
  auto energy = columnOf<float>(count);
  auto position = columnOf<float>(3 * count);
  auto ends = columnOf<std::int64_t>(count + 1);
  std::vector<std::int32_t> particle, pdg;
  std::vector<float> deposit, time, stepPosition, stepLength;
  ends.push_back(0);
  for (const auto& hit : hits) {
    cellID.push_back(hit.getCellID());
    energy.push_back(hit.getEnergy());
    append(position, hit.getPosition());
    for (const auto& contribution : hit.getContributions()) {
      particle.push_back(rows ? rows->rowOf(contribution.getParticle()) : -1);
      pdg.push_back(contribution.getPDG());
      deposit.push_back(contribution.getEnergy());
      time.push_back(contribution.getTime());
      append(stepPosition, contribution.getStepPosition());
      stepLength.push_back(contribution.getStepLength());
    }
    ends.push_back(static_cast<std::int64_t>(particle.size()));
  }
  columns.add(name + ".hits.cellID", std::move(cellID));
  columns.add(name + ".hits.energy", std::move(energy));
  columns.add(name + ".hits.position", std::move(position), 3);
  columns.add(name + ".hits.contributions", std::move(ends));
  columns.add(name + ".contributions.particle", std::move(particle));
  columns.add(name + ".contributions.PDG", std::move(pdg));
  columns.add(name + ".contributions.energy", std::move(deposit));
  columns.add(name + ".contributions.time", std::move(time));
  columns.add(name + ".contributions.stepPosition", std::move(stepPosition), 3);
  columns.add(name + ".contributions.stepLength", std::move(stepLength));
}

SimHits makeSimHits(const Arrays& arrays, const std::string& name, const ParticleRows& rows) {
  const auto cellID = arrays.get<std::uint64_t>(name + ".hits.cellID");
  const auto energy = arrays.get<float>(name + ".hits.energy");
  const auto position = arrays.get<float>(name + ".hits.position", 3);
  const auto ends = arrays.get<std::int64_t>(name + ".hits.contributions");
  const auto particle = arrays.get<std::int32_t>(name + ".contributions.particle");
  const auto pdg = arrays.get<std::int32_t>(name + ".contributions.PDG");
  const auto deposit = arrays.get<float>(name + ".contributions.energy");
  const auto time = arrays.get<float>(name + ".contributions.time");
  const auto stepPosition = arrays.get<float>(name + ".contributions.stepPosition", 3);
  const auto stepLength = arrays.get<float>(name + ".contributions.stepLength");

  SimHits result;
  auto& [hits, contributions] = result;
  for (std::size_t i = 0; i < cellID.size(); ++i) {
    auto hit = hits.create();
    hit.setCellID(cellID[i]);
    hit.setEnergy(energy[i]);
    hit.setPosition(vectorAt(position, i));
    for (auto j = static_cast<std::size_t>(ends[i]); j < static_cast<std::size_t>(ends[i + 1]); ++j) {
      auto contribution = contributions.create();
      contribution.setPDG(pdg[j]);
      contribution.setEnergy(deposit[j]);
      contribution.setTime(time[j]);
      contribution.setStepPosition(vectorAt(stepPosition, j));
      contribution.setStepLength(stepLength[j]);
      if (particle[j] >= 0) {
        contribution.setParticle(rows.at(static_cast<std::size_t>(particle[j])));
      }
      hit.addToContributions(contribution);
    }
  }
  return result;
}

edm4hep::MCParticleCollection withStatus(const edm4hep::MCParticleCollection& particles,
                                         std::span<const std::int32_t> simulatorStatus) {
  edm4hep::MCParticleCollection copies;
  for (std::size_t i = 0; i < particles.size(); ++i) {
    auto copy = particles[i].clone(false);
    copy.setSimulatorStatus(simulatorStatus[i]);
    copies.push_back(copy);
  }
  // A relation to another collection stays as it is.
  const auto copyOf = [&](const edm4hep::MCParticle& particle) -> edm4hep::MCParticle {
    const auto index = static_cast<std::size_t>(particle.getObjectID().index);
    return isIn(particles, particle) ? edm4hep::MCParticle{copies[index]} : particle;
  };
  for (std::size_t i = 0; i < particles.size(); ++i) {
    auto copy = copies[i];
    for (const auto& parent : particles[i].getParents()) {
      copy.addToParents(copyOf(parent));
    }
    for (const auto& daughter : particles[i].getDaughters()) {
      copy.addToDaughters(copyOf(daughter));
    }
  }
  return copies;
}

} // namespace k4calofast
