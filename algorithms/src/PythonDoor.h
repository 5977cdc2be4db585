#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// The way from C++ to the package `k4calofast.gaudi` in the interpreter of k4run.
///
/// Python objects stay behind this header: what goes in and out are C++ values, and columns of
/// numbers that are not converted but looked at from both sides. Every function takes Python's
/// global lock (GIL) itself and gives it back; none may be called while holding it.
namespace k4calofast {

/// What went wrong in Python, in one sentence for a person.
class PythonError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

using PropertyValue = std::variant<bool, std::string, std::int64_t, std::uint64_t, double, std::vector<int>,
                                   std::vector<double>, std::vector<std::string>>;
using PropertyValues = std::map<std::string, PropertyValue>;

/// A type of number that columns can hold.
template <typename T>
concept Number = std::same_as<T, std::int32_t> || std::same_as<T, std::uint32_t> || std::same_as<T, std::int64_t> ||
                 std::same_as<T, std::uint64_t> || std::same_as<T, float> || std::same_as<T, double>;

/// Names, after Python's module `struct`, of a type of number with a fixed size.
template <Number T>
constexpr const char* formatOf() {
  if constexpr (std::floating_point<T>) {
    return sizeof(T) == 4 ? "f" : "d";
  } else if constexpr (std::signed_integral<T>) {
    return sizeof(T) == 4 ? "i" : "q";
  } else {
    return sizeof(T) == 4 ? "I" : "Q";
  }
}

/// Columns of one event on their way to Python.
class Columns {
public:
  struct Column {
    std::string name;
    std::shared_ptr<const void> owner;
    const void* data;
    std::size_t items;
    std::size_t itemSize;
    const char* format;
    int width;
  };

  /// Adds a column; rows of `width` numbers follow each other in `values`.
  template <Number T>
  void add(std::string name, std::vector<T> values, int width = 1) {
    const auto owner = std::make_shared<const std::vector<T>>(std::move(values));
    m_columns.push_back({std::move(name), owner, owner->data(), owner->size(), sizeof(T), formatOf<T>(), width});
  }

  const std::vector<Column>& all() const { return m_columns; }

private:
  std::vector<Column> m_columns;
};

/// Arrays of one event that came back from Python. They live as long as this object.
class Arrays {
public:
  /// The numbers of an array, row by row.
  /// @throws PythonError if there is no array of this name, type and width.
  template <Number T>
  std::span<const T> get(std::string_view name, int width = 1) const {
    const auto [data, bytes] = find(name, formatOf<T>(), sizeof(T), width);
    return {static_cast<const T*>(data), bytes / sizeof(T)};
  }

private:
  friend class PythonDoor;
  struct Buffers;
  std::pair<const void*, std::size_t> find(std::string_view name, std::string_view format, std::size_t size,
                                           int width) const;
  std::shared_ptr<const Buffers> m_buffers;
};

/// A component of `k4calofast.gaudi`.
class PythonDoor {
public:
  PythonDoor() = default;
  PythonDoor(const PythonDoor&) = delete;
  PythonDoor& operator=(const PythonDoor&) = delete;
  ~PythonDoor() { close(); }

  /// Creates the component of this kind with these properties.
  /// @throws PythonError as do the functions below.
  void open(const std::string& kind, const PropertyValues& properties);
  /// Names of collections that the properties leave to the component, by property.
  std::map<std::string, std::vector<std::string>> outputs() const;
  /// What the metadata should say of its collections.
  std::map<std::string, std::string> metadata() const;
  /// Does the work of one event; several threads may.
  Arrays execute(const Columns& columns) const;
  /// Lines for the end of the run.
  std::vector<std::string> finish() const;
  /// Forgets the component.
  void close();

private:
  void* m_component{nullptr};
};

} // namespace k4calofast
