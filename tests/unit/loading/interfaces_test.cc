// Typed interfaces between this program and modules that were built against other headers: whatever differs
// is refused before anything is called, and both sides are named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moddev/interface.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "client/src/interface_layout.h"
#include "client/src/interfaces.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

// What the modules' headers are variations of.
namespace shop {

enum class Kind : std::uint8_t { kPlain };
struct Order {
  long id;
  double weight;
};
MODDEV_LAYOUT(Order, id, weight)

struct Scoring {
  double (*score)(const Order&);
  double (*discount)(const Order&);
  double limit;
  Kind kind;
  std::string (*name)();
};
MODDEV_INTERFACE(Scoring, score, discount, limit, kind, name)

class Counter {
 public:
  virtual ~Counter() = default;
  virtual long add(long) = 0;
  virtual long take(long) = 0;
};
MODDEV_INTERFACE(Counter, add, take)

}  // namespace shop

namespace moddev {
namespace {

using testing::Executor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Repository;
using testing::Workshop;

const char* const kScoringHeader =
    "#include <moddev/interface.h>\n#include <cstdint>\n#include <string>\n"
    "namespace shop {\n"
    "enum class Kind : std::uint8_t { kPlain };\n"
    "struct Order { long id; double weight; };\n"
    "MODDEV_LAYOUT(Order, id, weight)\n"
    "struct Scoring { double (*score)(const Order&); double (*discount)(const Order&); double limit; Kind "
    "kind; "
    "std::string (*name)(); };\n"
    "MODDEV_INTERFACE(Scoring, score, discount, limit, kind, name)\n";
const char* const kScoringBody = "static const Scoring scoring{};\nMODDEV_PROVIDE(Scoring, scoring)\n}\n";

const char* const kCounterHeader =
    "#include <moddev/interface.h>\n"
    "namespace shop {\n"
    "class Counter { public: virtual ~Counter() = default; virtual long add(long) = 0; virtual long "
    "take(long) = "
    "0; };\n"
    "MODDEV_INTERFACE(Counter, add, take)\n";
const char* const kCounterBody =
    "struct Mine : Counter { long sum = 0; long add(long x) override { return sum += x; } long take(long x) "
    "override { return sum -= x; } };\n"
    "static Mine mine;\nMODDEV_PROVIDE(Counter, mine)\n}\n";

/// `text` with `before`, which must be there, replaced everywhere.
std::string edited(std::string text, const std::string& before, const std::string& after) {
  std::size_t at = text.find(before);
  EXPECT_NE(at, std::string::npos) << before;
  for (; at != std::string::npos; at = text.find(before, at + after.size())) {
    text.replace(at, before.size(), after);
  }
  return text;
}

class Interfaces : public ::testing::Test {
 protected:
  std::vector<ModuleFailure> load(const std::string& source, std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"-std=c++20", "-fvisibility=hidden", "-I" MODDEV_CLIENT_INCLUDE});
    repository_.native("scorer", workshop_.library("scorer", source, flags));
    return executor_.advance(repository_);
  }
  /// Loads it and gives the one reason why it was refused.
  std::string refusal(const std::string& source, const std::vector<std::string>& flags = {}) {
    const auto failures = load(source, flags);
    EXPECT_EQ(failures.size(), 1U);
    return failures.empty() ? "" : failures.front().error;
  }

  Workshop workshop_;
  Executor executor_{workshop_.directory() / "images"};
  Repository repository_;
};

TEST_F(Interfaces, AStructOfFunctionsIsCalledThroughItsTypes) {
  const std::string body =
      "static const Scoring scoring{.score = [](const Order& order) { return 2 * order.weight; }, .discount "
      "= "
      "nullptr, .limit = 7.5, .kind = Kind::kPlain, .name = [] { return std::string(\"a name that is longer "
      "than "
      "what fits into a string\"); }};\nMODDEV_PROVIDE(Scoring, scoring)\n}\n";
  ASSERT_THAT(load(kScoringHeader + body), IsEmpty());
  const Pin pin = executor_.pin();
  const auto scoring = pin.interface<shop::Scoring>("scorer");
  ASSERT_TRUE(scoring.ok()) << scoring.error().message;
  EXPECT_EQ((*scoring)->score({1, 2.5}), 5);
  EXPECT_EQ((*scoring)->limit, 7.5);
  EXPECT_EQ((*scoring)->name(), "a name that is longer than what fits into a string");
}

TEST_F(Interfaces, AnAbstractClassIsAnObjectOfTheModule) {
  ASSERT_THAT(load(std::string(kCounterHeader) + kCounterBody), IsEmpty());
  const Pin pin = executor_.pin();
  const auto counter = pin.interface<shop::Counter>("scorer");
  ASSERT_TRUE(counter.ok()) << counter.error().message;
  EXPECT_EQ((*counter)->add(5), 5);
  EXPECT_EQ((*counter)->take(2), 3);
}

struct Mismatch {
  const char* name;
  const char* before;
  const char* after;
  const char* told;
  std::vector<std::string> flags = {};
  // In the list of members.
  const char* list_before = "MODDEV_INTERFACE";
  const char* list_after = "MODDEV_INTERFACE";
};

class ScoringMismatch : public Interfaces, public ::testing::WithParamInterface<Mismatch> {};

TEST_P(ScoringMismatch, IsRefusedBeforeTheModuleRuns) {
  const Mismatch& mismatch = GetParam();
  // Its initialiser would end the test.
  const std::string source = std::string(kScoringHeader) + kScoringBody +
                             "static const int runs = [] { __builtin_trap(); return 0; }();\n";
  const std::string error = refusal(
      edited(edited(source, mismatch.list_before, mismatch.list_after), mismatch.before, mismatch.after),
      mismatch.flags);
  EXPECT_THAT(error, HasSubstr("it was built against layout "));
  EXPECT_THAT(error, HasSubstr(" of interface shop::Scoring, this program against "));
  EXPECT_THAT(error, HasSubstr(mismatch.told));
  EXPECT_THAT(error, HasSubstr("build both from the same header"));
}

INSTANTIATE_TEST_SUITE_P(
    OfEveryKind, ScoringMismatch,
    ::testing::Values(
        Mismatch{"MemberType", "double limit", "float limit",
                 "'limit' of shop::Scoring is float64 here and float32 there"},
        Mismatch{"SameSizeOtherType", "double limit", "long limit",
                 "'limit' of shop::Scoring is float64 here and int64 there"},
        Mismatch{"Parameter", "(*score)(const Order&)", "(*score)(Order&)",
                 "'score' of shop::Scoring is float64(*)(const shop::Order&) here and "
                 "float64(*)(shop::Order&) there"},
        Mismatch{"OneMoreParameter", "(*score)(const Order&)", "(*score)(const Order&, int)",
                 "and float64(*)(const shop::Order&, int32) there"},
        Mismatch{"Return", "double (*score)", "float (*score)", "and float32(*)(const shop::Order&) there"},
        Mismatch{"Noexcept", "(*score)(const Order&)", "(*score)(const Order&) noexcept",
                 "and float64(*)(const shop::Order&) noexcept there"},
        Mismatch{"MemberAdded",
                 "double limit",
                 "double last; double limit",
                 "shop::Scoring has 5 members here and 6 there; 'last' of shop::Scoring is only there",
                 {},
                 "discount, limit",
                 "discount, last, limit"},
        Mismatch{"MemberGone",
                 "double (*discount)(const Order&); ",
                 "",
                 "shop::Scoring has 5 members here and 4 there; 'discount' of shop::Scoring is only here",
                 {},
                 "discount, limit",
                 "limit"},
        Mismatch{"TwoFunctionsSwapped",
                 "double (*score)(const Order&); double (*discount)(const Order&);",
                 "double (*discount)(const Order&); double (*score)(const Order&);",
                 "'score' of shop::Scoring is at byte 0 here and byte 8 there",
                 {},
                 "score, discount",
                 "discount, score"},
        Mismatch{"EnumOfAnotherSize", "Kind : std::uint8_t", "Kind : std::uint16_t",
                 "'kind' of shop::Scoring is shop::Kind:uint8 here and shop::Kind:uint16 there"},
        Mismatch{"StructItSpeaksOf", "long id;", "int id;",
                 "'id' of shop::Order is int64 here and int32 there"},
        Mismatch{"StructItSpeaksOfAligned", "struct Order", "struct alignas(32) Order",
                 "shop::Order has 16 bytes here and 32 there"},
        Mismatch{"StandardLibrary",
                 "double limit",
                 "double  limit",
                 "'name' of shop::Scoring is std::basic_string<char>#32/8(*)() here and "
                 "std::basic_string<char>#8/8(*)() there",
                 {"-D_GLIBCXX_USE_CXX11_ABI=0"}}),
    [](const auto& test) { return std::string(test.param.name); });

struct CounterMismatch : Interfaces, ::testing::WithParamInterface<Mismatch> {};

TEST_P(CounterMismatch, IsRefused) {
  const std::string error =
      refusal(edited(std::string(kCounterHeader) + kCounterBody, GetParam().before, GetParam().after));
  EXPECT_THAT(error, HasSubstr(" of interface shop::Counter, this program against "));
  EXPECT_THAT(error, HasSubstr(GetParam().told));
}

INSTANTIATE_TEST_SUITE_P(
    OfEveryKind, CounterMismatch,
    ::testing::Values(Mismatch{"Signature", "add(long", "add(int",
                               "'add' of shop::Counter is int64(int64) here and int64(int32)"},
                      Mismatch{"Swapped", "virtual long add(long) = 0; virtual long take(long) = 0;",
                               "virtual long take(long) = 0; virtual long add(long) = 0;",
                               "'add' of shop::Counter is at slot 2 here and slot 3 there"},
                      Mismatch{"OneInBetweenThatNobodyNamed", "virtual long add(long) = 0;",
                               "virtual void more() {} virtual long add(long) = 0;",
                               "'add' of shop::Counter is at slot 2 here and slot 3 there"},
                      Mismatch{"OneAtTheEndThatNobodyNamed", "take(long) = 0;",
                               "take(long) = 0; virtual void more() {}",
                               "shop::Counter has 4 virtual functions here and 5 there"},
                      Mismatch{"NoVirtualDestructor", "virtual ~Counter() = default;", "",
                               "'add' of shop::Counter is at slot 2 here and slot 0 there"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(Interfaces, AMismatchLeavesTheLastGoodVersion) {
  ASSERT_THAT(load(std::string(kCounterHeader) + kCounterBody), IsEmpty());
  EXPECT_NE(refusal(edited(std::string(kCounterHeader) + kCounterBody, "add(long", "add(int")), "");
  const Pin pin = executor_.pin();
  EXPECT_EQ(pin.module("scorer")->version, 1U);
  EXPECT_EQ((*pin.interface<shop::Counter>("scorer"))->add(2), 2);
}

TEST_F(Interfaces, AModuleThatDoesNotOfferItSaysSo) {
  ASSERT_THAT(load("extern \"C\" __attribute__((visibility(\"default\"))) long answer() { return 1; }\n"),
              IsEmpty());
  const auto counter = executor_.pin().interface<shop::Counter>("scorer");
  ASSERT_FALSE(counter.ok());
  EXPECT_EQ(counter.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(counter.error().message, "module 'scorer': it does not offer interface shop::Counter");
  EXPECT_EQ(executor_.call("scorer"), 1);
}

TEST_F(Interfaces, AVersionThatDropsARequiredInterfaceIsRefused) {
  ExpectedInterfaces& expected = ExpectedInterfaces::of_process();
  expected.require("scorer", "shop::Counter");
  EXPECT_EQ(refusal("long unused;\n"),
            "it does not offer interface shop::Counter, which this program uses; put MODDEV_PROVIDE(Counter, "
            "OBJECT) into the module");
  ASSERT_THAT(load(std::string(kCounterHeader) + kCounterBody), IsEmpty());
  expected.release("scorer", "shop::Counter");
  EXPECT_THAT(load("long unused;\n"), IsEmpty());
}

TEST_F(Interfaces, AFunctionThatIsNotVirtualIsNoInterface) {
  const std::string source = edited(std::string(kCounterHeader) + kCounterBody,
                                    "virtual long take(long) = 0;", "long take(long) { return 0; }");
  EXPECT_THAT(refusal(edited(source, "long take(long x) override { return sum -= x; }", "")),
              HasSubstr("the interface function 'take' is not a virtual function of its first base"));
}

TEST_F(Interfaces, ADamagedDescriptionIsRefusedAndNeverReadBeyond) {
  const auto& whole = shop::moddev_record_Counter;
  const auto bytes = std::as_bytes(std::span(&whole, 1));
  const auto layout = read_interface_layout(bytes);
  ASSERT_TRUE(layout.ok()) << layout.error().message;
  EXPECT_EQ(layout->name(), "shop::Counter");
  EXPECT_EQ(layout->types.front().slots, 4U);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(read_interface_layout(bytes.first(size)).ok()) << size;
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
      std::vector<std::byte> copy(bytes.begin(), bytes.end());
      copy[at] ^= static_cast<std::byte>(flip);
      const auto other = read_interface_layout(copy);
      const bool in_text =
          at >= sizeof(layout::Header) && at < sizeof(layout::Header) + whole.header.text_bytes;
      EXPECT_TRUE(!in_text || !other || *other != *layout) << at;
    }
  }
}

TEST_F(Interfaces, ADescriptionThatIsTooLongIsRefused) {
  std::vector<std::byte> record(kMostLayoutBytes + 1);
  layout::Header header;
  header.text_bytes = static_cast<std::uint32_t>(record.size() - sizeof header);
  std::memcpy(record.data(), &header, sizeof header);
  const auto read = read_interface_layout(record);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::kLimit);
}

TEST_F(Interfaces, OfManyDifferencesTheMessageTellsThree) {
  const std::string error = refusal(
      edited(edited(std::string(kScoringHeader) + kScoringBody, "double", "float"), "long id", "int id"));
  EXPECT_THAT(error, HasSubstr("'score' of shop::Scoring is "));
  EXPECT_THAT(error, HasSubstr("; and 2 more; build both from the same header"));
}

/// What the compiler says to `declarations`.
std::string compiler_output(const Workshop& workshop, const std::string& declarations) {
  const auto source = workshop.directory() / "wrong.cc";
  testing::write_file(source, std::as_bytes(std::span(declarations)));
  const auto result = testing::run_command(
      {MODDEV_TEST_CXX_COMPILER, "-std=c++20", "-fsyntax-only", "-I" MODDEV_CLIENT_INCLUDE, source.string()});
  return result.exit_code == 0 ? "" : result.output;
}

TEST_F(Interfaces, TheCompilerRefusesAListThatIsNotWhole) {
  const std::string header = "#include <moddev/interface.h>\n";
  const char* const told = "name all members of S, in the order of their declaration";
  EXPECT_THAT(compiler_output(workshop_, header + "struct S { int a; int b; };\nMODDEV_INTERFACE(S, a)\n"),
              HasSubstr(told));
  EXPECT_THAT(compiler_output(workshop_, header + "struct S { int a; int b; };\nMODDEV_INTERFACE(S, b, a)\n"),
              HasSubstr(told));
  EXPECT_THAT(compiler_output(workshop_, header + "struct B { int a; }; struct S : B { int b; };\n"
                                                  "MODDEV_INTERFACE(S, b)\n"),
              HasSubstr(told));
  EXPECT_THAT(compiler_output(workshop_, header + "struct S { virtual void f() = 0; int b; };\n"
                                                  "MODDEV_INTERFACE(S, f)\n"),
              HasSubstr(told));
  EXPECT_EQ(compiler_output(workshop_, header + "struct S { int a; int b; };\nMODDEV_INTERFACE(S, a, b)\n"),
            "");
  EXPECT_EQ(compiler_output(workshop_, header + "struct S {};\nMODDEV_INTERFACE(S)\n"), "");
}

TEST_F(Interfaces, EightySixMembersAreDescribedAndNoMore) {
  const auto with = [](int members) {
    std::string text = "#include <moddev/interface.h>\nstruct S {";
    std::string names;
    for (int i = 0; i < members; ++i) {
      text += " int m" + std::to_string(i) + ";";
      names += ", m" + std::to_string(i);
    }
    return text + " };\nMODDEV_INTERFACE(S" + names + ")\n";
  };
  EXPECT_EQ(compiler_output(workshop_, with(86)), "");
  EXPECT_NE(compiler_output(workshop_, with(87)), "");
}

TEST_F(Interfaces, SixtyFourTypesAreDescribedAndNoMore) {
  const auto with = [](int types) {
    std::string text = "#include <moddev/interface.h>\nstruct T0 { int x; };\nMODDEV_LAYOUT(T0, x)\n";
    for (int i = 1; i < types - 1; ++i) {
      const std::string n = std::to_string(i);
      text += "struct T" + n + " { T" + std::to_string(i - 1) + " x; };\nMODDEV_LAYOUT(T" + n + ", x)\n";
    }
    return text + "struct S { T" + std::to_string(types - 2) + " x; };\nMODDEV_INTERFACE(S, x)\n";
  };
  EXPECT_EQ(compiler_output(workshop_, with(static_cast<int>(layout::kMostTypes))), "");
  EXPECT_NE(compiler_output(workshop_, with(static_cast<int>(layout::kMostTypes) + 1)), "");
}

}  // namespace
}  // namespace moddev
