/* For authors of native modules, in C or C++. A module needs nothing of this: any shared library can be
 * reloaded, and any `extern "C"` function be called. What is here helps with three things: exporting, threads
 * of the module's own, and state that outlives a reload.
 *
 *   #include <moddev/module.h>
 *   MODDEV_EXPORT long score(long x) { return 2 * x; }
 *
 * Hooks are optional. They run on the thread that loads, never at the same time as each other, in this order:
 *
 *   static initialisers
 *   MODDEV_ON_RESTORE  when a version that saves was live: its state is offered
 *   MODDEV_ON_START    before the version is live; calls may come as soon as it has returned
 *   ... the version is live; later a newer one is, and the last pin of this one is dropped ...
 *   MODDEV_ON_STOP     nobody calls into this version any more: end its threads. Also when the epoch that it
 * was prepared for never became live. static destructors
 *
 * A hook that refuses returns the reason, which the developer reads in the terminal of `moddev watch`; then
 * nobody uses the epoch and the last good one goes on. NULL means: fine. C++ exceptions count as refusals.
 */
#ifndef MODDEV_MODULE_H
#define MODDEV_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define MODDEV_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MODDEV_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Where MODDEV_ON_SAVE writes to. `write` may be called any number of times; `version` is the module's own
 * number for the form of its state, 0 unless it is set. */
struct moddev_state_writer {
  void* context;
  void (*write)(void* context, const void* data, size_t size);
  uint32_t version;
};

/* What MODDEV_ON_RESTORE is offered; valid until it returns. */
struct moddev_saved_state {
  const void* data;
  size_t size;
  uint32_t version;
};

#ifdef __cplusplus
}
#endif

/* MODDEV_ON_START() { pool = start_threads(); return pool ? NULL : "cannot start the threads"; }
 * One that refuses has ended what it began: MODDEV_ON_STOP is not called then. */
#define MODDEV_ON_START() MODDEV_EXPORT const char* moddev_on_start_1(void)

/* MODDEV_ON_STOP() { join_threads(pool); }
 * A module that starts threads and has no such hook is never unmapped. Should return within two seconds;
 * until it does the version stays mapped, and is counted among those that cannot be unloaded. */
#define MODDEV_ON_STOP() MODDEV_EXPORT void moddev_on_stop_1(void)

/* MODDEV_ON_SAVE(out) { out->version = 2; out->write(out->context, &table, sizeof table); return NULL; }
 * Runs in the live version while other threads call it: what it reads must be safe to read then. A later
 * change is not part of the state. */
#define MODDEV_ON_SAVE(out) MODDEV_EXPORT const char* moddev_on_save_1(struct moddev_state_writer* out)

/* MODDEV_ON_RESTORE(state) { if (state->version != 2) return NULL; ...copy...; return NULL; }
 * Return NULL without taking anything to start afresh; return a reason to refuse the whole version. */
#define MODDEV_ON_RESTORE(state) \
  MODDEV_EXPORT const char* moddev_on_restore_1(const struct moddev_saved_state* state)

#endif
