// The few functions of macOS' CoreServices and libdispatch that fsevents_source calls. On a Mac these come
// from Apple's headers; elsewhere from these declarations, written from Apple's documentation, so that
// fsevents_source is at least type-checked on every build.
#pragma once

#ifdef __APPLE__
#include <CoreServices/CoreServices.h>
#include <dispatch/dispatch.h>
#else

#include <cstddef>
#include <cstdint>

extern "C" {

using CFTypeRef = const void*;
using CFAllocatorRef = const struct OpaqueCFAllocator*;
using CFStringRef = const struct OpaqueCFString*;
using CFArrayRef = const struct OpaqueCFArray*;
using CFIndex = long;
using CFTimeInterval = double;
using CFStringEncoding = std::uint32_t;
using Boolean = unsigned char;
using dispatch_queue_t = struct dispatch_queue_s*;
using dispatch_queue_attr_t = struct dispatch_queue_attr_s*;
using FSEventStreamRef = struct OpaqueFSEventStream*;
using ConstFSEventStreamRef = const struct OpaqueFSEventStream*;
using FSEventStreamCreateFlags = std::uint32_t;
using FSEventStreamEventFlags = std::uint32_t;
using FSEventStreamEventId = std::uint64_t;

struct CFArrayCallBacks;
extern const CFArrayCallBacks kCFTypeArrayCallBacks;

struct FSEventStreamContext {
  CFIndex version;
  void* info;
  const void* (*retain)(const void*);
  void (*release)(const void*);
  CFStringRef (*copyDescription)(const void*);
};
using FSEventStreamCallback = void (*)(ConstFSEventStreamRef stream, void* info, std::size_t count,
                                       void* paths, const FSEventStreamEventFlags* flags,
                                       const FSEventStreamEventId* ids);

inline constexpr CFStringEncoding kCFStringEncodingUTF8 = 0x08000100;
inline constexpr FSEventStreamEventId kFSEventStreamEventIdSinceNow = 0xFFFFFFFFFFFFFFFFULL;
inline constexpr FSEventStreamCreateFlags kFSEventStreamCreateFlagNoDefer = 0x00000002;
inline constexpr FSEventStreamCreateFlags kFSEventStreamCreateFlagWatchRoot = 0x00000004;
inline constexpr FSEventStreamCreateFlags kFSEventStreamCreateFlagFileEvents = 0x00000010;

CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char* text, CFStringEncoding encoding);
CFArrayRef CFArrayCreate(CFAllocatorRef allocator, const void** values, CFIndex count,
                         const CFArrayCallBacks* callbacks);
void CFRelease(CFTypeRef object);
FSEventStreamRef FSEventStreamCreate(CFAllocatorRef allocator, FSEventStreamCallback callback,
                                     FSEventStreamContext* context, CFArrayRef paths,
                                     FSEventStreamEventId since, CFTimeInterval latency,
                                     FSEventStreamCreateFlags flags);
void FSEventStreamSetDispatchQueue(FSEventStreamRef stream, dispatch_queue_t queue);
Boolean FSEventStreamStart(FSEventStreamRef stream);
void FSEventStreamStop(FSEventStreamRef stream);
void FSEventStreamInvalidate(FSEventStreamRef stream);
void FSEventStreamRelease(FSEventStreamRef stream);
dispatch_queue_t dispatch_queue_create(const char* label, dispatch_queue_attr_t attributes);
void dispatch_sync_f(dispatch_queue_t queue, void* context, void (*work)(void*));
void dispatch_release(dispatch_queue_t queue);

}  // extern "C"

#endif
