// moddev for C, and for the bindings of other languages. The ABI is stable: functions are only added,
// structures grow only at the end and begin with their size, handles are opaque. What each thing means is
// told in client.h and view.h.
//
// [example] client/examples/print_score.c is a whole program.
//   moddev_options options = {.size = sizeof options, .name = "worker-1"};
//   moddev_error* error = NULL;
//   moddev_client* client = moddev_connect(&options, &error);
//   if (client && moddev_wait_for(client, "scorer", 10000, &error) == MODDEV_OK) {
//     moddev_pin* pin = moddev_pin_current(client);
//     long (*score)(long) = (long (*)(long))moddev_pin_function(pin, "scorer", "score", &error);
//     if (score) printf("%ld\n", score(20));
//     moddev_unpin(pin);
//   }
//   if (error) fprintf(stderr, "%s\n", moddev_error_message(error));
//   moddev_error_free(error);
//   moddev_disconnect(client);
//
// Errors: a function that fails sets *error, when `error` is not NULL, to an error that the caller frees, and
// leaves it alone otherwise. Strings are UTF-8 and end with a zero byte; those that a function returns live
// as long as the handle that they were asked of. No function throws, and what a callback throws (C++, through
// C) ends there without effect.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODDEV_API __attribute__((visibility("default")))

/* Goes up when something was added. */
#define MODDEV_ABI_VERSION 3
MODDEV_API unsigned moddev_abi_version(void);

typedef struct moddev_client moddev_client; /* any thread */
typedef struct moddev_pin moddev_pin;       /* one thread at a time */
typedef struct moddev_watch moddev_watch;
typedef struct moddev_error moddev_error;
/* Cast it to the function's own type. */
typedef void (*moddev_function)(void);

typedef enum moddev_code {
  MODDEV_OK = 0,
  MODDEV_INVALID_ARGUMENT = 1,
  MODDEV_NOT_FOUND = 2,
  MODDEV_ALREADY_EXISTS = 3,
  MODDEV_CONFLICT = 4,
  MODDEV_PERMISSION = 5,
  MODDEV_UNAVAILABLE = 6,
  MODDEV_TIMEOUT = 7,
  MODDEV_LIMIT = 8,
  MODDEV_CORRUPT = 9,
  MODDEV_IO = 10,
  MODDEV_UNSUPPORTED = 11,
  MODDEV_REFUSED = 12,
  MODDEV_INTERNAL = 13
} moddev_code;

MODDEV_API moddev_code moddev_error_code(const moddev_error* error); /* NULL: MODDEV_OK */
MODDEV_API const char* moddev_error_message(const moddev_error* error);
MODDEV_API void moddev_error_free(moddev_error* error); /* NULL does nothing */

typedef enum moddev_event_kind {
  MODDEV_JOINED = 0,
  MODDEV_APPLIED = 1,
  MODDEV_FAILED = 2,
  MODDEV_STALE = 3,
  MODDEV_ABORTED = 4
} moddev_event_kind;

/* Everything in it lives until the callback returns. */
typedef struct moddev_event {
  size_t size; /* sizeof(moddev_event) of the library */
  moddev_event_kind kind;
  uint64_t epoch;
  const char* const* modules; /* applied: what changed */
  size_t module_count;
  const char* module;  /* failed: which; else "" */
  const char* message; /* "" when there is nothing to say */
  int64_t elapsed_us;
} moddev_event;

typedef struct moddev_options {
  size_t size;                 /* sizeof(moddev_options) of the caller */
  const char* name;            /* NULL or "": the program's name */
  const char* endpoint;        /* NULL or "": found as client.h tells */
  const char* cache_directory; /* NULL or "": the user's */
  /* On the notification thread, one call at a time; may be NULL. Must not disconnect the client. */
  void (*on_event)(const moddev_event* event, void* user);
  void* user;
  /* Since ABI 2. Without a daemon at the start, what ran last goes on if the daemon was heard within so many
   * seconds. 0: a week; less: never. */
  int64_t offline_grace_s;
  /* Since ABI 3. The same as `key`, `daemon_keys`, `signers` and `modules` of client.h; NULL or "", and lists
   * of 0, are found as it tells. What they point to is copied. */
  const char* key;
  const char* const* daemon_keys;
  size_t daemon_key_count;
  const char* const* signers;
  size_t signer_count;
  const char* const* modules;
  size_t module_count;
} moddev_options;

/* NULL options are the defaults. NULL: failed. A daemon need not run yet. */
MODDEV_API moddev_client* moddev_connect(const moddev_options* options, moddev_error** error);
/* All pins and watches first. NULL does nothing. */
MODDEV_API void moddev_disconnect(moddev_client* client);
MODDEV_API int moddev_connected(const moddev_client* client);
MODDEV_API uint64_t moddev_epoch(const moddev_client* client);
MODDEV_API moddev_code moddev_wait_for(const moddev_client* client, const char* module, int64_t timeout_ms,
                                       moddev_error** error);
MODDEV_API moddev_code moddev_wait_for_epoch(const moddev_client* client, uint64_t epoch, int64_t timeout_ms,
                                             moddev_error** error);

/* Never NULL; of epoch 0, with nothing in it, before the first epoch. What it returns lives until
 * moddev_unpin(). */
MODDEV_API moddev_pin* moddev_pin_current(const moddev_client* client);
/* Since ABI 2. One epoch by its number, as pin_epoch() of client.h: blocks, NULL when it failed. */
MODDEV_API moddev_pin* moddev_pin_at(const moddev_client* client, uint64_t epoch, int64_t timeout_ms,
                                     moddev_error** error);
MODDEV_API void moddev_unpin(moddev_pin* pin); /* NULL does nothing */
MODDEV_API uint64_t moddev_pin_epoch(const moddev_pin* pin);
/* NULL: failed. */
MODDEV_API moddev_function moddev_pin_function(const moddev_pin* pin, const char* module, const char* name,
                                               moddev_error** error);
/* The same for data. */
MODDEV_API void* moddev_pin_symbol(const moddev_pin* pin, const char* module, const char* name,
                                   moddev_error** error);
/* The bytes of a module of any kind; NULL: failed. Not NULL for a module of no bytes. */
MODDEV_API const void* moddev_pin_bytes(const moddev_pin* pin, const char* module, size_t* size,
                                        moddev_error** error);
/* From 1; 0: failed. */
MODDEV_API uint64_t moddev_pin_version(const moddev_pin* pin, const char* module, moddev_error** error);
/* The names of all modules, sorted. */
MODDEV_API size_t moddev_pin_module_count(const moddev_pin* pin);
MODDEV_API const char* moddev_pin_module_name(const moddev_pin* pin,
                                              size_t index); /* NULL: there are fewer */

/* Calls back with what is live now, and after each change of `module` (gone: moddev_pin_bytes() fails). On
 * the notification thread; `pin` lives until the callback returns. */
MODDEV_API moddev_watch* moddev_watch_module(const moddev_client* client, const char* module,
                                             void (*on_change)(const moddev_pin* pin, void* user),
                                             void* user);
/* The callback does not run any more when this returns. NULL does nothing. */
MODDEV_API void moddev_unwatch(moddev_watch* watch);

#ifdef __cplusplus
}
#endif
