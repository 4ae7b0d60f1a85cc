// An executor as a process of the simulated world: the production session and view store, with a loader on
// virtual time. Its cache of fetched artifacts outlives it, as a directory does, and so does what it
// remembers of the epoch that ran last.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <moddev/view.h>

#include "client/src/session.h"
#include "client/src/view_store.h"
#include "protocol/blob_store.h"
#include "tests/sim/weather.h"
#include "tests/support/world/faulty_blob_store.h"
#include "tests/support/world/random.h"
#include "tests/support/world/sim_loader.h"
#include "tests/support/world/sim_network.h"

namespace moddev::sim {

class ExecutorProcess {
 public:
  ExecutorProcess(std::size_t number, const Weather& weather, Plant plant, SimNetwork& network,
                  Random random);
  ~ExecutorProcess();
  ExecutorProcess(const ExecutorProcess&) = delete;
  ExecutorProcess& operator=(const ExecutorProcess&) = delete;

  /// Why this executor cannot load a content; consulted while faults last.
  std::function<std::optional<std::string>(const ModuleEntry&)> refusal;

  void start(TimePoint now);
  /// In good order or not.
  void stop(bool says_goodbye);
  [[nodiscard]] bool up() const { return session_ != nullptr; }
  void step(TimePoint now);
  [[nodiscard]] TimePoint due() const;

  /// And runs every module of the epoch under it.
  void take_pin(TimePoint until);
  void drop_pins(TimePoint now);

  struct HeldPin {
    Pin pin;
    Epoch epoch = 0;
    TimePoint until{};
    std::vector<std::tuple<Uuid, std::string, Version>> runs{};
  };
  [[nodiscard]] const std::vector<HeldPin>& pins() const { return pins_; }
  /// Runs that have ended since it was started, by repo, module and version.
  using Runs = std::map<std::tuple<Uuid, std::string, Version>, std::uint64_t>;
  [[nodiscard]] const Runs& runs() const { return runs_; }
  [[nodiscard]] std::size_t number() const { return number_; }
  [[nodiscard]] const Uuid& id() const { return id_; }
  [[nodiscard]] Session& session() { return *session_; }
  [[nodiscard]] std::shared_ptr<const View> view() const { return views_->current(); }
  [[nodiscard]] SimLoader& loader() { return *loader_; }
  [[nodiscard]] SimLink& link() { return *link_; }
  [[nodiscard]] FaultyBlobStore& cache() { return cache_; }
  /// For how long it has heard nothing while it ran.
  [[nodiscard]] Duration silent() const { return silent_; }
  /// How long its preparations take from now on.
  bool slow = false;

 private:
  void plant_bug();

  struct Remembered {
    Uuid repo;
    std::shared_ptr<const View> view;  // only for its manifest
  };

  std::size_t number_;
  Plant plant_;
  SimNetwork& network_;
  Random random_;
  MemoryBlobStore stored_;
  FaultyBlobStore cache_{stored_};
  std::optional<Remembered> remembered_;
  unsigned starts_ = 0;
  Uuid id_;
  TimePoint stepped_{};
  Duration silent_{};
  TimePoint due_{};

  std::unique_ptr<SimLink> link_;
  std::unique_ptr<SimLoader> loader_;
  std::unique_ptr<ViewStore> views_;
  std::vector<HeldPin> pins_;
  Runs runs_;
  std::unique_ptr<Session> session_;
};

}  // namespace moddev::sim
