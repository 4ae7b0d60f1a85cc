// A shared library that exports nothing: its hash table does not tell how many symbols it needs.
extern "C" int puts(const char* text);

namespace {
[[gnu::constructor]] void speak() {
  puts("");
}
}  // namespace
