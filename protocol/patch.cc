#include "protocol/patch.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "protocol/limits.h"

namespace moddev {
namespace {

/// Level 3 gives most of what there is to gain on patches, at several times the speed of the higher ones.
constexpr int kLevel = 3;
/// The window that the decoder of any zstd allows is 2^31 on 64-bit machines (ZSTD_WINDOWLOG_MAX_64).
constexpr int kSmallestWindowLog = 10;
constexpr int kLargestWindowLog = 31;

constexpr std::string_view kMagic = "mdp1";
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kHeaderBytes = 4 + 2 * kDigestBytes + 8;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Error zstd_error(std::string_view what, std::size_t code) {
  return Error{ErrorCode::kInternal, std::string(what) + ": " + ZSTD_getErrorName(code), 0};
}

Error too_large(std::string_view what, std::uint64_t size, std::uint64_t limit) {
  return Error{
      ErrorCode::kLimit,
      std::string(what) + " of " + std::to_string(size) + " bytes; the limit is " + std::to_string(limit), 0};
}

Error out_of_memory(std::uint64_t size) {
  return Error{ErrorCode::kLimit, "no memory for " + std::to_string(size) + " bytes", ENOMEM};
}

/// One frame of `data` behind the first `reserved` bytes of the result, which are left for a header.
Result<Bytes> compress_with(std::span<const std::byte> prefix, std::span<const std::byte> data,
                            std::size_t reserved) {
  const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (context == nullptr) return out_of_memory(0);
  std::size_t code = ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  if (!ZSTD_isError(code)) code = ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  if (!prefix.empty()) {
    // The window must reach from the end of the target back to the start of the base, or what is far away is
    // not found; and so far back, only long-distance matching looks.
    const int window = std::clamp(static_cast<int>(std::bit_width(prefix.size() + data.size())),
                                  kSmallestWindowLog, kLargestWindowLog);
    if (!ZSTD_isError(code)) code = ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, window);
    if (!ZSTD_isError(code)) {
      code = ZSTD_CCtx_setParameter(context.get(), ZSTD_c_enableLongDistanceMatching, 1);
    }
    // Serves the next frame only (zstd.h).
    if (!ZSTD_isError(code)) code = ZSTD_CCtx_refPrefix(context.get(), prefix.data(), prefix.size());
  }
  if (ZSTD_isError(code)) return zstd_error("zstd does not take its parameters", code);
  try {
    Bytes frame(reserved + ZSTD_compressBound(data.size()));
    const std::size_t size = ZSTD_compress2(context.get(), frame.data() + reserved, frame.size() - reserved,
                                            data.data(), data.size());
    if (ZSTD_isError(size)) return zstd_error("zstd does not compress", size);
    frame.resize(reserved + size);
    frame.shrink_to_fit();
    return frame;
  } catch (const std::bad_alloc&) {
    return out_of_memory(ZSTD_compressBound(data.size()));
  }
}

Result<Bytes> decompress_with(std::span<const std::byte> prefix, std::span<const std::byte> frame,
                              const Digest& result, std::uint64_t size) {
  if (size > limits::kModuleBytes) return too_large("a module", size, limits::kModuleBytes);
  const auto corrupt = [&](const std::string& why) {
    return Error{ErrorCode::kCorrupt, "the encoded bytes of " + result.to_string() + " " + why, 0};
  };
  // zstd would also take several frames, or skip some.
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return corrupt("are not exactly one zstd frame");
  }
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size) {
    return corrupt("do not hold the " + std::to_string(size) + " bytes that were promised");
  }
  const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  if (context == nullptr) return out_of_memory(0);
  try {
    // The whole at once: no window buffer, so a frame that asks for a huge one costs nothing.
    Bytes bytes(size);
    if (!prefix.empty()) {
      const std::size_t code = ZSTD_DCtx_refPrefix(context.get(), prefix.data(), prefix.size());
      if (ZSTD_isError(code)) return zstd_error("zstd does not take the base", code);
    }
    const std::size_t written =
        ZSTD_decompressDCtx(context.get(), bytes.data(), bytes.size(), frame.data(), frame.size());
    if (ZSTD_isError(written))
      return corrupt(std::string("cannot be decoded: ") + ZSTD_getErrorName(written));
    if (written != size || digest_of(bytes) != result) return corrupt("decode to other bytes");
    return bytes;
  } catch (const std::bad_alloc&) {
    return out_of_memory(size);
  }
}

constexpr std::array<std::pair<Encoding, std::string_view>, 3> kEncodings = {
    {{Encoding::kPlain, ""}, {Encoding::kZstd, "zstd"}, {Encoding::kPatch, "patch"}}};

}  // namespace

std::string_view to_string(Encoding encoding) {
  for (const auto& [value, text] : kEncodings) {
    if (value == encoding) return text;
  }
  return "";
}

std::optional<Encoding> encoding_from_string(std::string_view text) {
  for (const auto& [value, name] : kEncodings) {
    if (name == text) return value;
  }
  return std::nullopt;
}

Result<Bytes> compress(std::span<const std::byte> data) {
  if (data.size() > limits::kModuleBytes) return too_large("a module", data.size(), limits::kModuleBytes);
  return compress_with({}, data, 0);
}

Result<Bytes> decompress(std::span<const std::byte> frame, const Digest& result, std::uint64_t size) {
  return decompress_with({}, frame, result, size);
}

Result<Bytes> make_patch(std::span<const std::byte> base, const Digest& base_digest,
                         std::span<const std::byte> target, const Digest& target_digest) {
  const std::uint64_t together = base.size() + target.size();
  if (together > limits::kPatchBytes) return too_large("base and target", together, limits::kPatchBytes);
  auto patch = compress_with(base, target, kHeaderBytes);
  if (!patch) return patch.error();
  std::byte* at = patch->data();
  const auto put = [&at](const void* data, std::size_t size) {
    std::memcpy(at, data, size);
    at += size;
  };
  put(kMagic.data(), kMagic.size());
  put(base_digest.bytes.data(), kDigestBytes);
  put(target_digest.bytes.data(), kDigestBytes);
  for (unsigned i = 0; i < 8; ++i) *at++ = static_cast<std::byte>(target.size() >> (8 * i));
  return patch;
}

Result<PatchHeader> read_patch_header(std::span<const std::byte> patch) {
  if (patch.size() < kHeaderBytes || !as_text(patch).starts_with(kMagic)) {
    return Error{ErrorCode::kCorrupt, "the bytes are no patch", 0};
  }
  PatchHeader header;
  std::memcpy(header.base.bytes.data(), patch.data() + kMagic.size(), kDigestBytes);
  std::memcpy(header.result.bytes.data(), patch.data() + kMagic.size() + kDigestBytes, kDigestBytes);
  for (unsigned i = 0; i < 8; ++i) {
    header.size |= std::to_integer<std::uint64_t>(patch[kHeaderBytes - 8 + i]) << (8 * i);
  }
  if (header.size > limits::kPatchBytes)
    return too_large("a patch's result", header.size, limits::kPatchBytes);
  return header;
}

Result<Bytes> apply_patch(std::span<const std::byte> base, std::span<const std::byte> patch,
                          const Digest& result, std::uint64_t size) {
  const auto header = read_patch_header(patch);
  if (!header) return header.error();
  if (header->result != result || header->size != size) {
    return Error{ErrorCode::kCorrupt,
                 "the patch leads to " + header->result.to_string() + " of " + std::to_string(header->size) +
                     " bytes, not to " + result.to_string() + " of " + std::to_string(size),
                 0};
  }
  if (digest_of(base) != header->base) {
    return Error{ErrorCode::kCorrupt,
                 "the patch needs the base " + header->base.to_string() + ", which was not given", 0};
  }
  return decompress_with(base, patch.subspan(kHeaderBytes), result, size);
}

bool pays(std::uint64_t encoded, std::uint64_t plain) {
  return plain > encoded && plain - encoded >= limits::kEncodingGain && encoded <= plain / 10 * 9;
}

}  // namespace moddev
