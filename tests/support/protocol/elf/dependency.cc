// The library that the sample needs.
extern "C" [[gnu::visibility("default")]] int sample_needed_from_elsewhere(int x) {
  return 2 * x;
}
