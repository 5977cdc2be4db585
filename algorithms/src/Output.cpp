#include "Output.h"

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <system_error>

namespace k4calofast {

namespace {

  std::set<std::filesystem::path>& abandoned() {
    static auto* files = new std::set<std::filesystem::path>; // outlives everything
    return *files;
  }

  /// A name for what is not complete; one that is taken may be anybody's.
  std::filesystem::path unfinished(const std::string& file) {
    std::filesystem::path name = file + ".part";
    std::error_code ignored;
    for (int i = 2; std::filesystem::exists(std::filesystem::symlink_status(name, ignored)); ++i) {
      name = file + "." + std::to_string(i) + ".part";
    }
    return name;
  }

  void renameAll() {
    for (const auto& file : abandoned()) {
      std::error_code ignored; // there may be no file yet
      std::filesystem::rename(file, unfinished(file.string()), ignored);
    }
  }

} // namespace

void abandonAtExit(const std::string& file) {
  static std::mutex mutex;
  const std::lock_guard lock{mutex};
  if (abandoned().empty()) {
    std::atexit(renameAll);
  }
  abandoned().insert(std::filesystem::absolute(file));
}

} // namespace k4calofast
