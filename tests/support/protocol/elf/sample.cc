// A shared library with what elf_image looks for; built several times with different linkers and flags.
#include <string>

extern "C" {
[[gnu::visibility("default")]] int sample_exported(int x);
[[gnu::visibility("protected")]] int sample_protected(int x);
[[gnu::visibility("hidden")]] int sample_hidden(int x);
int sample_needed_from_elsewhere(int x);
[[gnu::weak]] int sample_weakly_needed(int x);
}

template <typename T>
struct [[gnu::visibility("default")]] Holder {
  static inline T value{};
};

struct WithDestructor {
  ~WithDestructor() { sample_hidden(count); }
  int count = 0;
};
thread_local WithDestructor per_thread;

int sample_hidden(int x) {
  return x + 1;
}
int sample_protected(int x) {
  return sample_hidden(x) + Holder<int>::value;
}
int sample_exported(int x) {
  per_thread.count += x;
  const int weak = sample_weakly_needed != nullptr ? sample_weakly_needed(x) : 0;
  return sample_protected(x) + sample_needed_from_elsewhere(x) + weak;
}
