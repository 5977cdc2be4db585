#pragma once

#include "PythonDoor.h"

#include <edm4hep/CaloHitContributionCollection.h>
#include <edm4hep/EventHeaderCollection.h>
#include <edm4hep/MCParticleCollection.h>
#include <edm4hep/SimCalorimeterHitCollection.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

/// EDM4hep collections to columns and back; names are those of `k4calofast.gaudi.columns`.
namespace k4calofast {

/// Whether a particle is one of a collection: objects are told apart, not IDs.
bool isIn(const edm4hep::MCParticleCollection& particles, const edm4hep::MCParticle& particle);

/// The particles that hits of an event may point to, in rows: those of a collection, and after them
/// those of other collections, as they are met.
///
/// Collections that have not been written have no ID: objects are told apart, not IDs and indices.
class ParticleRows {
public:
  explicit ParticleRows(const edm4hep::MCParticleCollection& particles) : m_particles(particles) {}

  /// Row of a particle, -1 for none.
  std::int32_t rowOf(const edm4hep::MCParticle& particle);
  /// Whether a particle is one of the collection.
  bool isOurs(const edm4hep::MCParticle& particle) const;
  /// @throws std::out_of_range if there is no such row
  edm4hep::MCParticle at(std::size_t row) const;
  const std::vector<edm4hep::MCParticle>& others() const { return m_others; }

private:
  const edm4hep::MCParticleCollection& m_particles;
  std::vector<edm4hep::MCParticle> m_others;
  std::unordered_map<edm4hep::MCParticle, std::int32_t> m_rows;
};

void addHeader(Columns& columns, const edm4hep::EventHeaderCollection& headers);
void addParticles(Columns& columns, const edm4hep::MCParticleCollection& particles);
/// Adds who stems from whom, from both relations: some producers fill one of them only.
void addFamily(Columns& columns, const edm4hep::MCParticleCollection& particles);
/// Adds which particles of their collection a subset lists.
void addListed(Columns& columns, const edm4hep::MCParticleCollection& subset);
/// Adds the particles of other collections, with their indices there, as `others`.
void addOthers(Columns& columns, const ParticleRows& rows);
/// Adds hits; the particles of their contributions become rows, or -1 where nobody asks for them.
void addSimHits(Columns& columns, const std::string& name, const edm4hep::SimCalorimeterHitCollection& hits,
                ParticleRows* rows = nullptr);

using SimHits = std::pair<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>;

/// Hits of this name whose contributions point to these particles.
SimHits makeSimHits(const Arrays& arrays, const std::string& name, const ParticleRows& rows);

/// A copy of the particles with other simulatorStatus, and with the relations among themselves.
edm4hep::MCParticleCollection withStatus(const edm4hep::MCParticleCollection& particles,
                                         std::span<const std::int32_t> simulatorStatus);

} // namespace k4calofast
