#include "client/src/loader_thread.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "client/src/transaction.h"

namespace moddev {
namespace {

std::atomic<std::uint64_t> g_left_behind{0};

/// What the thread works on and with. Shared with it, so that it may be left behind.
class LoaderWork {
 public:
  explicit LoaderWork(LoaderOptions options)
      : options_(std::move(options)),
        ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        trials_(options_.trial) {
    MODDEV_ASSERT(ready_ >= 0, "an eventfd can be made at the start of a client");
  }
  ~LoaderWork() { ::close(ready_); }
  LoaderWork(const LoaderWork&) = delete;
  LoaderWork& operator=(const LoaderWork&) = delete;

  void prepare(LoadPlan plan) {
    {
      const std::lock_guard lock(mutex_);
      MODDEV_ASSERT(!preparing_, "one preparation at a time");
      preparing_ = true;
      plan_ = std::move(plan);
    }
    work_.notify_one();
  }

  std::optional<LoadOutcome> poll() {
    const std::lock_guard lock(mutex_);
    if (!outcome_) return std::nullopt;
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(ready_, &count, sizeof count);
    preparing_ = false;
    return std::exchange(outcome_, std::nullopt);
  }

  void retire(std::shared_ptr<const View> view) {
    {
      const std::lock_guard lock(mutex_);
      retired_.push_back(std::move(view));
    }
    work_.notify_one();
  }

  [[nodiscard]] int ready() const { return ready_; }

  [[nodiscard]] std::vector<std::string> notes(TimePoint now) {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> sentences;
    if (opened_ != nullptr) sentences = opened_->overdue_stops(now);
    if (in_module_code_ && now - running_since_ >= kModulePatience) {
      sentences.push_back(
          running_ + " has not returned within " + std::to_string(kModulePatience.count()) +
          " s. Nothing newer can be loaded there until it does; mend it and restart that executor.");
    }
    return sentences;
  }

  void run();
  /// Asks run() to come to its end. False: it is in a module's code, and uses nothing any more that is not
  /// its own or the module's.
  [[nodiscard]] bool end();

 private:
  void post(LoadOutcome outcome);
  void keep_later(LoadPlan& plan);
  /// `what` is for people: "An initialiser or a hook of version 3 of module 'scorer'".
  void enter_module_code(std::string what);
  /// Whether there is somebody to go on for.
  [[nodiscard]] bool leave_module_code();
  [[nodiscard]] bool unload(std::vector<std::shared_ptr<const View>> views);
  void finish();

  const LoaderOptions options_;
  const int ready_;
  Trials trials_;

  std::mutex mutex_;
  std::condition_variable work_;
  bool stopping_ = false;
  bool preparing_ = false;
  std::optional<LoadPlan> plan_;
  std::optional<LoadOutcome> outcome_;
  SystemClock clock_;
  std::vector<std::shared_ptr<const View>> retired_;
  std::shared_ptr<NativeImages> opened_;  // images_, when there are any
  // For end().
  std::condition_variable moved_;
  bool in_module_code_ = false;
  std::string running_;  // what it is, while it is in a module's code
  TimePoint running_since_{};
  bool ended_ = false;
  bool left_behind_ = false;

  // Of the thread.
  Result<std::shared_ptr<NativeImages>> images_ = std::shared_ptr<NativeImages>();
  std::deque<std::pair<Digest, SharedBytes>> to_keep_;
  std::size_t bytes_to_keep_ = 0;
};

class LoaderThread final : public Loader {
 public:
  explicit LoaderThread(LoaderOptions options) : work_(std::make_shared<LoaderWork>(std::move(options))) {
    // The thread takes no signals: they belong to the program that we are a guest in.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([work = work_] { work->run(); });
    ::pthread_setname_np(thread_.native_handle(), "moddev-loader");
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~LoaderThread() override {
    if (work_->end()) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  void prepare(LoadPlan plan) override { work_->prepare(std::move(plan)); }
  std::optional<LoadOutcome> poll() override { return work_->poll(); }
  void retire(std::shared_ptr<const View> view) override { work_->retire(std::move(view)); }
  [[nodiscard]] std::vector<std::string> notes(TimePoint now) const override { return work_->notes(now); }
  [[nodiscard]] std::vector<int> descriptors() const override { return {work_->ready()}; }

 private:
  std::shared_ptr<LoaderWork> work_;
  std::thread thread_;
};

void LoaderWork::run() {
  images_ = NativeImages::open(options_.image_directory);
  std::unique_lock lock(mutex_);
  if (images_) opened_ = *images_;
  const auto called = [this] { return plan_ || !retired_.empty() || stopping_; };
  bool quiet = false;
  for (;;) {
    if (to_keep_.empty()) {
      work_.wait(lock, called);
    } else if (!quiet) {
      quiet = !work_.wait_for(lock, kKeepAfter, called);
    }
    if (plan_) {
      LoadPlan plan = *std::exchange(plan_, std::nullopt);
      lock.unlock();
      quiet = false;
      const TimePoint begin = clock_.now();
      LoadOutcome outcome = run_transaction(
          plan, options_.cache, images_, trials_,
          [this](const std::string& whose) { enter_module_code("An initialiser or a hook of " + whose); });
      if (!leave_module_code()) return finish();
      outcome.took = clock_.now() - begin;
      post(std::move(outcome));
      keep_later(plan);
    } else if (!retired_.empty()) {
      auto views = std::exchange(retired_, {});
      lock.unlock();
      if (!unload(std::move(views))) return finish();
    } else if (!to_keep_.empty()) {
      lock.unlock();
      const auto [digest, bytes] = std::move(to_keep_.front());
      to_keep_.pop_front();
      bytes_to_keep_ -= bytes->size();
      // A cache that is full or broken costs a fetch later, nothing else.
      (void)options_.cache.put(digest, *bytes);
      if (to_keep_.empty()) (void)options_.cache.make_ready();
    } else {
      break;
    }
    lock.lock();
  }
  // An outcome that nobody took goes the way of all views.
  std::optional<LoadOutcome> outcome = std::exchange(outcome_, std::nullopt);
  lock.unlock();
  if (outcome && outcome->view && !unload({std::move(outcome->view)})) return finish();
  if (images_) (*images_)->wait_for_stops();
  finish();
}

bool LoaderWork::end() {
  trials_.stop();
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_one();
  if (moved_.wait_for(lock, kModulePatience, [this] { return ended_; })) return true;
  moved_.wait(lock, [this] { return ended_ || in_module_code_; });
  if (ended_) return true;
  left_behind_ = true;
  ++g_left_behind;
  return false;
}

void LoaderWork::enter_module_code(std::string what) {
  const TimePoint now = SystemClock().now();
  const std::lock_guard lock(mutex_);
  in_module_code_ = true;
  running_ = std::move(what);
  running_since_ = now;
  moved_.notify_one();
}

bool LoaderWork::leave_module_code() {
  const std::lock_guard lock(mutex_);
  in_module_code_ = false;
  return !left_behind_;
}

void LoaderWork::finish() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (left_behind_) --g_left_behind;
  moved_.notify_one();
}

void LoaderWork::post(LoadOutcome outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(outcome);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ready_, &one, sizeof one);
}

void LoaderWork::keep_later(LoadPlan& plan) {
  for (auto& [digest, bytes] : plan.bytes) {
    if (bytes == nullptr) continue;
    bytes_to_keep_ += bytes->size();
    to_keep_.emplace_back(digest, std::move(bytes));
  }
  while (bytes_to_keep_ > kBytesToKeep && to_keep_.size() > 1) {
    bytes_to_keep_ -= to_keep_.front().second->size();
    to_keep_.pop_front();
  }
}

bool LoaderWork::unload(std::vector<std::shared_ptr<const View>> views) {
  enter_module_code("A destructor of a former version");
  views.clear();
  if (!leave_module_code()) return false;
  if (images_) (*images_)->settle();
  return true;
}

}  // namespace

std::unique_ptr<Loader> make_loader(LoaderOptions options) {
  return std::make_unique<LoaderThread>(std::move(options));
}

std::uint64_t loaders_left_behind() {
  return g_left_behind;
}

}  // namespace moddev
