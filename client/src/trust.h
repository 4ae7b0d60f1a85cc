// Whom an executor believes and what it lets in: verdicts over values, without a clock or a socket. With no
// signers named everything that the transport brings is believed, as among processes of one user. It does not
// know when a verdict is asked for, nor what follows from it: session_trust.cc does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "protocol/result.h"
#include "protocol/signature.h"

namespace moddev::client {

class Trust {
 public:
  Trust() = default;
  /// `modules`: patterns as of fnmatch(3), in which `*` also goes over '/' and '.'; none: all modules.
  Trust(std::vector<PublicKey> signers, std::vector<std::string> modules)
      : demands_(!signers.empty()), signers_(std::move(signers)), modules_(std::move(modules)) {}

  /// The lists as they are from now on. What was accepted stays: nothing older is. Whoever asked for
  /// signatures once does so for ever: when the last signer is gone, nobody is believed. Returns whether that
  /// was a change.
  bool change(std::vector<PublicKey> signers, std::vector<std::string> modules);

  /// Whether signatures are asked for at all.
  [[nodiscard]] bool demands_signatures() const { return demands_; }

  /// What a message is about, which its statement must be about too.
  struct Subject {
    Purpose purpose = Purpose::kCommitted;
    Uuid repo;
    Epoch epoch = 0;
    /// Nothing: the message does not tell.
    std::optional<Digest> manifest{};
  };
  /// Errors: kPermission (no statement, or of a signer that is not believed), kCorrupt (the signature is
  /// wrong, or it is about something else), kTimeout (it has expired, or is from the future).
  [[nodiscard]] Result<Statement> check(const std::optional<SignedStatement>& statement,
                                        const Subject& subject, WallTime now) const;

  /// The same for what is committed; from then on nothing older is accepted. Errors: those of check(), and
  /// kConflict for what is older than something accepted before, or differs from it.
  [[nodiscard]] Status accept_committed(const std::optional<SignedStatement>& statement,
                                        const Subject& subject, WallTime now);
  /// What was accepted in an earlier life of the process, and how it was told then. Its expiry is not looked
  /// at. Errors: those of check().
  [[nodiscard]] Status accept_remembered(const SignedStatement& statement, const Uuid& repo,
                                         const Manifest& manifest);

  /// The newest committed statement that was accepted, and what it says.
  [[nodiscard]] const std::optional<SignedStatement>& newest() const { return newest_; }
  [[nodiscard]] const Statement& floor() const { return floor_; }
  /// What was heard is older than that: nobody can tell whether it is still true.
  [[nodiscard]] bool expired(WallTime now) const;

  /// Errors: kPermission.
  [[nodiscard]] Status allows(const std::string& module) const;

 private:
  [[nodiscard]] Result<Statement> opened(const std::optional<SignedStatement>& statement) const;

  bool demands_ = false;
  std::vector<PublicKey> signers_;
  std::vector<std::string> modules_;
  std::optional<SignedStatement> newest_;
  Statement floor_;
};

}  // namespace moddev::client
