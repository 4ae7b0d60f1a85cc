#include "client/src/loader_thread.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "client/src/transaction.h"

namespace moddev {
namespace {

class LoaderThread final : public Loader {
 public:
  explicit LoaderThread(LoaderOptions options)
      : options_(std::move(options)), ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    MODDEV_ASSERT(ready_ >= 0, "an eventfd can be made at the start of a client");
    // The thread takes no signals: they belong to the program that we are a guest in.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_setname_np(thread_.native_handle(), "moddev-loader");
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~LoaderThread() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
    ::close(ready_);
  }

  void prepare(LoadPlan plan) override {
    {
      const std::lock_guard lock(mutex_);
      MODDEV_ASSERT(!preparing_, "one preparation at a time");
      preparing_ = true;
      plan_ = std::move(plan);
    }
    work_.notify_one();
  }

  std::optional<LoadOutcome> poll() override {
    const std::lock_guard lock(mutex_);
    if (!outcome_) return std::nullopt;
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(ready_, &count, sizeof count);
    preparing_ = false;
    return std::exchange(outcome_, std::nullopt);
  }

  void retire(std::shared_ptr<const View> view) override {
    {
      const std::lock_guard lock(mutex_);
      retired_.push_back(std::move(view));
    }
    work_.notify_one();
  }

  [[nodiscard]] std::vector<int> descriptors() const override { return {ready_}; }

 private:
  void run();
  void post(LoadOutcome outcome);
  void keep_later(LoadPlan& plan);
  void unload(std::vector<std::shared_ptr<const View>> views);

  const LoaderOptions options_;
  const int ready_;

  std::mutex mutex_;
  std::condition_variable work_;
  bool stopping_ = false;
  bool preparing_ = false;
  std::optional<LoadPlan> plan_;
  std::optional<LoadOutcome> outcome_;
  std::vector<std::shared_ptr<const View>> retired_;

  // Of the thread.
  Result<std::shared_ptr<NativeImages>> images_ = std::shared_ptr<NativeImages>();
  std::deque<std::pair<Digest, SharedBytes>> to_keep_;
  std::size_t bytes_to_keep_ = 0;

  std::thread thread_;
};

void LoaderThread::run() {
  images_ = NativeImages::open(options_.image_directory);
  std::unique_lock lock(mutex_);
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
      post(run_transaction(plan, options_.cache, images_));
      keep_later(plan);
    } else if (!retired_.empty()) {
      auto views = std::exchange(retired_, {});
      lock.unlock();
      unload(std::move(views));
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
  if (outcome && outcome->view) unload({std::move(outcome->view)});
  if (images_) (*images_)->wait_for_stops();
}

void LoaderThread::post(LoadOutcome outcome) {
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(outcome);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ready_, &one, sizeof one);
}

void LoaderThread::keep_later(LoadPlan& plan) {
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

void LoaderThread::unload(std::vector<std::shared_ptr<const View>> views) {
  views.clear();
  if (images_) (*images_)->settle();
}

}  // namespace

std::unique_ptr<Loader> make_loader(LoaderOptions options) {
  return std::make_unique<LoaderThread>(std::move(options));
}

}  // namespace moddev
