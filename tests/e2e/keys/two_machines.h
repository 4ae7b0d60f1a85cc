// Two yards that stand for two machines: each has its own home, keys and lists. The daemon of one is bound to
// an address that other machines could reach; the other is where its clients run.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {

inline std::string key_of(Yard& yard) {
  const Ran ran = yard.run({"keygen", "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  return Json::parse(ran.out)["transport"]["public_key"];
}

/// A daemon at an address that other machines could reach, and a client whose key it trusts.
class TwoMachines : public ::testing::Test {
 protected:
  TwoMachines() {
    daemon_key = key_of(there);
    client_key = key_of(here);
    EXPECT_EQ(there.run({"trust", "add", "laptop", client_key}).exit_code, 0);
    there.write_module("scorer", 42);
    daemon = std::make_unique<Process>(there.start(
        {"watch", there.build(), "--json", "--bind", "tcp://0.0.0.0:*", "--bind", there.default_endpoint()}));
    const std::string bound = daemon->event("listening")["endpoint"];
    endpoint = "tcp://127.0.0.1:" + bound.substr(bound.rfind(':') + 1);
    daemon->event("committed");
  }
  void trust_the_daemon() { EXPECT_EQ(here.run({"trust", "add", endpoint, daemon_key}).exit_code, 0); }
  Ran status_from_here() { return here.run({"status", "--json", "--endpoint", endpoint}); }
  void expect_still_served() { EXPECT_EQ(there.run({"status"}).exit_code, 0); }

  Yard there;
  Yard here;
  std::string daemon_key;
  std::string client_key;
  std::string endpoint;
  std::unique_ptr<Process> daemon;
};

}  // namespace moddev::e2e
