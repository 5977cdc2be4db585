#pragma once

#include <string>

namespace k4calofast {

/// Renames a file that is not complete to `<file>.part`, or `<file>.2.part` and so on where there is
/// one already, at the end of the process.
///
/// k4FWCore closes its output properly whatever happens, so that a job which fails after some
/// events leaves a file like any other.
void abandonAtExit(const std::string& file);

} // namespace k4calofast
