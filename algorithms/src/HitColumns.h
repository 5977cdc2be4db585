#pragma once

#include "PythonDoor.h"

#include <edm4hep/CaloHitContributionCollection.h>
#include <edm4hep/EventHeaderCollection.h>
#include <edm4hep/MCParticleCollection.h>
#include <edm4hep/SimCalorimeterHitCollection.h>

#include <string>
#include <utility>

/// EDM4hep collections to columns and back; names are those of `k4calofast.gaudi.columns`.
namespace k4calofast {

void addHeader(Columns& columns, const edm4hep::EventHeaderCollection& headers);
void addParticles(Columns& columns, const edm4hep::MCParticleCollection& particles);
void addSimHits(Columns& columns, const std::string& name, const edm4hep::SimCalorimeterHitCollection& hits);

using SimHits = std::pair<edm4hep::SimCalorimeterHitCollection, edm4hep::CaloHitContributionCollection>;

/// Hits whose contributions point to these particles.
SimHits makeSimHits(const Arrays& arrays, const edm4hep::MCParticleCollection& particles);

/// A copy of the particles with other simulatorStatus, and with the relations among themselves.
edm4hep::MCParticleCollection withStatus(const edm4hep::MCParticleCollection& particles,
                                         std::span<const std::int32_t> simulatorStatus);

} // namespace k4calofast
