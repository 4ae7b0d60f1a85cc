// For the source of a module: how it exports what executors call. A module needs no other header of moddev's,
// and links nothing of it; it may also be written in C.
#pragma once

/// In front of a function that executors find by its name:
///   MODDEV_EXPORT long score(long x) { return 2 * x; }
/// extern "C" keeps the name as written. The visibility makes it the only thing that the module shows:
/// moddev_add_module() hides the rest, so that no two modules or versions can bind to each other's insides.
#ifdef __cplusplus
#define MODDEV_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MODDEV_EXPORT __attribute__((visibility("default")))
#endif
