#pragma once

#include "Output.h"
#include "Properties.h"
#include "PythonDoor.h"

#include <k4FWCore/DataWrapper.h>
#include <k4FWCore/MetadataUtils.h>
#include <k4FWCore/Transformer.h>
#include <k4Interface/IUniqueIDGenSvc.h>

#include <Gaudi/Interfaces/IOptionsSvc.h>
#include <GaudiKernel/AnyDataWrapper.h>
#include <GaudiKernel/AppReturnCode.h>
#include <GaudiKernel/GaudiException.h>
#include <GaudiKernel/IDataManagerSvc.h>
#include <GaudiKernel/IDataProviderSvc.h>
#include <GaudiKernel/IRegistry.h>
#include <GaudiKernel/IScheduler.h>

#include <edm4hep/EventHeaderCollection.h>
#include <podio/CollectionBase.h>
#include <podio/Frame.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace k4calofast {

/// Puts the cell-ID encoding of a collection of hits into the file's metadata, where it may be already.
/// @throws PythonError if there is another one
template <typename Algorithm>
void putEncoding(const Algorithm& algorithm, const std::string& hits, const std::string& encoding) {
  const auto there = k4FWCore::getCellIDEncoding(hits, &algorithm);
  if (there && *there != encoding) {
    throw PythonError("OutputHits '" + hits + "': the input's metadata gives hits of this name the cell-ID encoding '" +
                      *there + "', but these have '" + encoding + "'; set OutputHits to another name");
  }
  if (!there) {
    k4FWCore::putCellIDEncoding(hits, encoding, &algorithm);
  }
}

/// Gives a collection of hits the cell-ID encoding that others share.
/// @throws PythonError if they do not share one
template <typename Algorithm>
void shareEncoding(const Algorithm& algorithm, const std::vector<std::string>& from, const std::string& to) {
  std::optional<std::string> encoding;
  std::string said;
  bool isOne = true;
  for (const auto& name : from) {
    const auto found = k4FWCore::getCellIDEncoding(name, &algorithm);
    said += (said.empty() ? "'" : ", '") + name + "': " + found.value_or("None");
    isOne = isOne && !(found && encoding && *found != *encoding);
    encoding = found ? found : encoding;
  }
  if (!encoding || !isOne) {
    throw PythonError("one cell-ID encoding is needed, the metadata says " + said);
  }
  putEncoding(algorithm, to, *encoding);
}

/// What the components have in common: a transformer of collections whose work is done in Python.
///
/// @tparam Signature as of k4FWCore::MultiTransformer
/// @tparam Properties one of those in Properties.h
template <typename Signature, typename Properties>
class Component : public k4FWCore::MultiTransformer<Signature> {
  using Base = k4FWCore::MultiTransformer<Signature>;
  using KeyValue = typename Base::KeyValue;
  using KeyValues = typename Base::KeyValues;
  using Clock = std::chrono::steady_clock;

public:
  Component(const std::string& name, ISvcLocator* locator, std::string kind)
      : Base(name, locator, keys(Properties::inputs()), keys(Properties::outputs())), m_kind(std::move(kind)) {
    document(this->m_inputLocationsVector, Properties::inputs());
    document(this->m_outputLocationsVector, Properties::outputs());
  }

  /// Says what is wrong, but lets start() fail: a job with several threads of Gaudi v40 crashes if
  /// initialize() fails.
  StatusCode initialize() override {
    if (const StatusCode status = Base::initialize(); status.isFailure()) {
      return status;
    }
    // Not left to start(): k4FWCore opens the output before.
    if (const auto input = overwritten(); !input.empty()) {
      this->error() << "IOSvc.Output cannot be written: it is also an input, " << input << endmsg;
      return StatusCode::FAILURE;
    }
    try {
      PropertyValues values;
      m_properties.each([&values](const char* name, const auto& value) { values[name] = value; });
      std::size_t i = 0;
      for (const auto& property : Properties::inputs()) {
        values[property.name] = std::vector<std::string>{this->inputLocations(i++)};
      }
      i = 0;
      for (const auto& property : Properties::outputs()) {
        values[property.name] = std::vector<std::string>{this->outputLocations(i++)};
      }
      m_door.open(m_kind, values);
      // Gaudi looks at the names of outputs after this.
      for (const auto& [property, names] : m_door.outputs()) {
        setOutput(property, names);
      }
      putMetadata(m_door.metadata());
    } catch (const PythonError& error) {
      fail(error.what());
    } catch (const GaudiException& error) {
      fail(error.message());
    }
    if (const auto io = existing<IProperty>("IOSvc"); io && io->hasProperty("FirstEventEntry")) {
      m_firstEntry = std::stoull(io->getProperty("FirstEventEntry").toString());
    }
    const auto* options = &this->serviceLocator()->getOptsSvc();
    if (options->isSet("UniqueIDGenSvc.Seed") ||
        options->get("ApplicationMgr.ExtSvc").find("UniqueIDGenSvc") != std::string::npos) {
      m_uniqueID = this->template service<IUniqueIDGenSvc>("UniqueIDGenSvc", true);
      if (!m_uniqueID) {
        fail("the job configures UniqueIDGenSvc, but there is none");
      }
    }
    return StatusCode::SUCCESS;
  }

  StatusCode start() override { return m_failed ? StatusCode::FAILURE : Base::start(); }

  /// Waits for the events that are still on their way in a job that fails: Gaudi v40 goes on to
  /// finalize() without them, and k4FWCore's input crashes.
  StatusCode stop() override {
    if (m_failed) {
      const auto scheduler = existing<IScheduler>("AvalancheSchedulerSvc");
      EventContext* context = nullptr;
      while (scheduler && scheduler->popFinishedEvent(context).isSuccess()) {
        delete context;
      }
    }
    return Base::stop();
  }

  /// Says what is missing in the event in the words of this component's properties.
  StatusCode sysExecute(const EventContext& context) override {
    if (this->isEnabled()) {
      checkInputs(std::make_index_sequence<nInputs>{});
    }
    const StatusCode status = Base::sysExecute(context);
    if (status.isFailure()) {
      failJob();
    }
    return status;
  }

  StatusCode finalize() override {
    try {
      for (const auto& line : m_door.finish()) {
        this->info() << line << endmsg;
      }
      if (m_events) {
        this->info() << static_cast<double>(m_nanoseconds) * 1e-6 / static_cast<double>(m_events)
                     << " ms per event in this algorithm, engine, waiting and columns" << endmsg;
      }
      m_door.close();
    } catch (const PythonError& error) {
      fail(error.what());
    }
    return Base::finalize();
  }

protected:
  /// Fills columns, lets Python work on them and makes collections of what comes back.
  /// @throws GaudiException with Python's error
  template <typename Fill, typename Make>
  auto work(Fill&& fill, Make&& make) const {
    try {
      const auto began = Clock::now();
      Columns columns;
      fill(columns);
      auto result = make(m_door.execute(columns));
      m_nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began).count();
      ++m_events;
      return result;
    } catch (const PythonError& error) {
      throw GaudiException(error.what(), m_kind, StatusCode::FAILURE);
    } catch (const std::out_of_range& error) {
      throw GaudiException(std::string("an index points beyond its collection: ") + error.what(), m_kind,
                           StatusCode::FAILURE);
    }
  }

  /// Adds the event's seed, if the job has a UniqueIDGenSvc.
  void addSeed(Columns& columns, const edm4hep::EventHeaderCollection& headers) const {
    if (m_uniqueID && headers.size() == 1) {
      columns.add("seed", std::vector<std::uint64_t>{m_uniqueID->getUniqueID(headers, this->name())});
    }
  }

  /// Adds the event's place in the job.
  void addNumber(Columns& columns, const EventContext& context) const {
    columns.add("number", std::vector<std::uint64_t>{m_firstEntry + context.evt()});
  }

  /// Puts a parameter into the frame that the event was read from, or else will be written from.
  template <typename T>
  void putFrameParameter(const std::string& key, const T& value) const {
    const std::string location = "/Event" + std::string(k4FWCore::frameLocation);
    // Algorithms of one event may run at the same time.
    static std::mutex oneAtATime;
    const std::lock_guard lock{oneAtATime};
    DataObject* object = nullptr;
    if (this->evtSvc()->retrieveObject(location, object).isFailure() || !object) {
      object = new AnyDataWrapper<podio::Frame>(podio::Frame());
      if (this->evtSvc()->registerObject(location, object).isFailure()) {
        delete object;
        throw GaudiException("the event's frame cannot be made", this->name(), StatusCode::FAILURE);
      }
    }
    auto* frame = dynamic_cast<AnyDataWrapper<podio::Frame>*>(object);
    if (!frame) {
      throw GaudiException(location + " is not a podio::Frame", this->name(), StatusCode::FAILURE);
    }
    frame->getData().putParameter(key, value);
  }

  /// Calls `visit` with the name and the collection for each of the event.
  template <typename Visitor>
  void eachCollection(Visitor&& visit) const {
    const SmartIF<IDataManagerSvc> manager{this->evtSvc()};
    DataObject* root = nullptr;
    std::vector<IRegistry*> leaves;
    if (!manager || this->evtSvc()->retrieveObject("/Event", root).isFailure() ||
        manager->objectLeaves(root->registry(), leaves).isFailure()) {
      return;
    }
    for (const auto* leaf : leaves) {
      const podio::CollectionBase* collection = nullptr;
      if (auto* wrapper = dynamic_cast<AnyDataWrapper<std::unique_ptr<podio::CollectionBase>>*>(leaf->object())) {
        collection = wrapper->getData().get();
      } else if (auto* old = dynamic_cast<DataWrapperBase*>(leaf->object())) {
        collection = old->collectionBase();
      }
      if (collection) {
        visit(leaf->name().substr(1), *collection);
      }
    }
  }

  /// Puts what Python says into the file's metadata; components without facts of their own override it.
  virtual void putMetadata(const std::map<std::string, std::string>&) {}

  Properties m_properties{this};

private:
  static constexpr std::size_t nInputs = Base::N_in;

  template <std::size_t N>
  static auto keys(const std::array<CollectionProperty, N>& properties) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::make_tuple(
          std::variant<KeyValue, KeyValues>{std::in_place_index<1>, properties[I].name, properties[I].value}...);
    }(std::make_index_sequence<N>{});
  }

  template <typename Locations, std::size_t N>
  static void document(Locations& locations, const std::array<CollectionProperty, N>& properties) {
    for (std::size_t i = 0; i < N; ++i) {
      locations[i].setDocumentation(properties[i].doc);
    }
  }

  /// Names the collections of an output; the property makes handles of them.
  void setOutput(const std::string& property, const std::vector<std::string>& names) {
    for (auto& locations : this->m_outputLocationsVector) {
      if (locations.name() == property) {
        locations = std::vector<DataObjID>(names.begin(), names.end());
      }
    }
  }

  /// A service, if the job has it.
  template <typename Interface>
  SmartIF<Interface> existing(const std::string& service) const {
    return this->serviceLocator()->template service<Interface>(service, false);
  }

  /// The input that the job would overwrite, if there is one.
  std::string overwritten() const {
    const auto io = existing<IProperty>("IOSvc");
    Gaudi::Property<std::string> output{"Output", ""};
    Gaudi::Property<std::vector<std::string>> inputs{"Input", {}};
    if (!io || !io->hasProperty("Output") || !io->hasProperty("Input") || io->getProperty(&output).isFailure() ||
        io->getProperty(&inputs).isFailure()) {
      return "";
    }
    for (const auto& input : inputs.value()) {
      std::error_code ignored; // of files that do not exist
      if (std::filesystem::equivalent(input, output.value(), ignored)) {
        return input;
      }
    }
    return "";
  }

  void fail(const std::string& message) {
    this->error() << message << endmsg;
    failJob();
  }

  /// k4FWCore closes its output properly even if the job has failed: take its name away. And a
  /// job with several threads that fails would end like one that has read all of its input.
  void failJob() {
    auto application = existing<IProperty>("ApplicationMgr");
    Gaudi::setAppReturnCode(application, Gaudi::ReturnCode::AlgorithmFailure, true).ignore();
    if (m_failed.exchange(true)) {
      return;
    }
    const auto io = existing<IProperty>("IOSvc");
    if (!io || !io->hasProperty("Output")) {
      return;
    }
    Gaudi::Property<std::string> output{"Output", ""};
    if (io->getProperty(&output).isFailure() || output.value().empty()) {
      return;
    }
    const std::string& file = output.value();
    abandonAtExit(file);
    this->error() << "the job fails: " << file << " is not complete and will be " << file << ".part" << endmsg;
  }

  template <std::size_t... I>
  void checkInputs(std::index_sequence<I...>) {
    (checkInput<I>(), ...);
  }

  template <std::size_t I>
  void checkInput() {
    // Handles hold the types of the signature, less the event context.
    for (const auto& location : this->inputLocations(I)) {
      checkInput(location, this->name() + "." + Properties::inputs()[I].name, inputTypes()[I]);
    }
  }

  void checkInput(const std::string& location, const std::string& property, const std::string& wanted) {
    DataObject* object = nullptr;
    if (this->evtSvc()->retrieveObject("/Event/" + location, object).isFailure() || !object) {
      const bool isHeader = wanted == edm4hep::EventHeaderCollection::typeName;
      this->error() << property << ": no collection '" << location << "' of type " << wanted << " in this event"
                    << others(wanted) << "; set " << property
                    << (isHeader ? ", or put an EventHeaderCreator in front" : "") << endmsg;
      return;
    }
    const auto* wrapper = dynamic_cast<AnyDataWrapper<std::unique_ptr<podio::CollectionBase>>*>(object);
    if (!wrapper || !wrapper->getData()) {
      return; // an old-style collection, which the transformer itself knows how to read
    }
    const std::string type{wrapper->getData()->getTypeName()};
    if (type != wanted) {
      this->error() << property << ": collection '" << location << "' is " << type << ", not " << wanted
                    << others(wanted) << "; set " << property << endmsg;
    }
  }

  /// Names of the event's collections of a type, for a message.
  std::string others(std::string_view type) {
    std::string names;
    eachCollection([&](const std::string& name, const podio::CollectionBase& collection) {
      if (collection.getTypeName() == type) {
        names += (names.empty() ? "" : ", ") + name;
      }
    });
    return names.empty() ? "" : "; of that type there is " + names;
  }

  /// Types of the collections that come in.
  static auto inputTypes() { return typesOf(static_cast<typename Traits<Signature>::Inputs*>(nullptr)); }

  template <typename... In>
  static std::array<std::string, sizeof...(In)> typesOf(std::tuple<In...>*) {
    return {typeOf(static_cast<In*>(nullptr))...};
  }

  template <typename Collection>
  static std::string typeOf(Collection*) {
    return std::string(Collection::typeName);
  }

  /// Where there may be any number of collections.
  template <typename Collection>
  static std::string typeOf(std::vector<const Collection*>*) {
    return std::string(Collection::typeName);
  }

  template <typename>
  struct Traits;
  template <typename... Out, typename... In>
  struct Traits<std::tuple<Out...>(const In&...)> {
    using Inputs = k4FWCore::details::filter_evtcontext_t<In...>;
  };

  std::string m_kind;
  PythonDoor m_door;
  std::uint64_t m_firstEntry{0};
  SmartIF<IUniqueIDGenSvc> m_uniqueID;
  std::atomic<bool> m_failed{false};
  mutable std::atomic<std::int64_t> m_nanoseconds{0};
  mutable std::atomic<std::int64_t> m_events{0};
};

} // namespace k4calofast
