#include "daemon/encoder.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

constexpr int kNiceness = 10;

class EncoderThread final : public Encoder {
 public:
  explicit EncoderThread(BlobStore& blobs) : blobs_(blobs) {
    // Signals belong to the event loop.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_setname_np(thread_.native_handle(), "moddev-encode");
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~EncoderThread() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
  }

  bool begin(const EncodingJob& job) override {
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.size() >= limits::kWaitingEncodings) return false;
      jobs_.push_back(job);
    }
    work_.notify_one();
    return true;
  }

  std::optional<EncodingResult> poll() override {
    const std::lock_guard lock(mutex_);
    if (results_.empty()) return std::nullopt;
    std::optional<EncodingResult> result(std::move(results_.front()));
    results_.pop_front();
    return result;
  }

 private:
  void run() {
    // Of this thread alone (setpriority(2), "C library/kernel differences").
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return !jobs_.empty() || stopping_; });
      if (stopping_) return;
      const EncodingJob job = jobs_.front();
      jobs_.pop_front();
      lock.unlock();
      EncodingResult result = encode_blob(job, blobs_);
      lock.lock();
      results_.push_back(std::move(result));
    }
  }

  BlobStore& blobs_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<EncodingJob> jobs_;
  std::deque<EncodingResult> results_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

EncodingResult encode_blob(const EncodingJob& job, BlobStore& blobs) {
  EncodingResult result;
  result.job = job;
  const auto target = blobs.read(job.target);
  if (!target) return result;
  const auto take = [&](Encoding encoding, Result<Bytes> encoded) {
    if (!encoded || !pays(encoded->size(), (*target)->size())) return false;
    result.encoding = encoding;
    result.bytes = share(std::move(*encoded));
    return true;
  };
  if (job.base != Digest{}) {
    const auto base = blobs.read(job.base);
    if (base && take(Encoding::kPatch, make_patch(**base, job.base, **target, job.target))) return result;
  }
  if (job.zstd_allowed) take(Encoding::kZstd, compress(**target));
  return result;
}

std::unique_ptr<Encoder> make_encoder_thread(BlobStore& blobs) {
  return std::make_unique<EncoderThread>(blobs);
}

}  // namespace moddev::daemon
