/* Every function of c_api.h, from C, against a real daemon. Prints what is wrong; exit code 0: nothing.
 * Usage: c_api_check [EMPTY_DIRECTORY]; c_api_check offline GRACE. The daemon serves libscorer.so (score(x) =
 * 2x + 2) and the blobs "empty" and "notes.txt" ("hello"). */
#include <moddev/c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong;
#define CHECK(condition) \
  ((condition) ? (void)0 : (void)(++wrong, printf("line %d: not so: %s\n", __LINE__, #condition)))

static volatile int applied;
static void on_event(const moddev_event* event, void* user) {
  size_t i = 0;
  if (event->size < sizeof *event || user != (void*)&applied || event->kind != MODDEV_APPLIED) return;
  for (i = 0; i < event->module_count; ++i) {
    if (strcmp(event->modules[i], "scorer") == 0 && event->epoch > 0) applied = 1;
  }
}

static void check_connect_errors(const char* directory) {
  moddev_options options = {.size = sizeof options, .endpoint = "nonsense://x"};
  moddev_error* error = NULL;
  (void)directory;
  CHECK(moddev_connect(&options, &error) == NULL);
  CHECK(moddev_error_code(error) == MODDEV_INVALID_ARGUMENT);
  CHECK(strstr(moddev_error_message(error), "nonsense") != NULL);
  moddev_error_free(error);
  CHECK(moddev_connect(&options, NULL) == NULL);
  CHECK(moddev_error_code(NULL) == MODDEV_OK);
  CHECK(strcmp(moddev_error_message(NULL), "") == 0);
  moddev_error_free(NULL);
  moddev_unpin(NULL);
  moddev_unwatch(NULL);
  moddev_disconnect(NULL);
}

static void check_pin(const moddev_pin* pin) {
  moddev_error* error = NULL;
  size_t size = 99;
  const char* bytes = NULL;
  CHECK(moddev_pin_epoch(pin) > 0);
  CHECK(moddev_pin_function(pin, "scorer", "score", &error) != NULL && error == NULL);
  CHECK(((long (*)(long))moddev_pin_function(pin, "scorer", "score", NULL))(20) == 42);
  CHECK(*(int*)moddev_pin_symbol(pin, "scorer", "answers", NULL) == 7);
  CHECK(moddev_pin_symbol(pin, "scorer", "absent", &error) == NULL);
  CHECK(moddev_error_code(error) == MODDEV_NOT_FOUND);
  moddev_error_free(error);
  error = NULL;
  bytes = moddev_pin_bytes(pin, "notes.txt", &size, &error);
  CHECK(bytes != NULL && size == 5 && memcmp(bytes, "hello", 5) == 0);
  CHECK(moddev_pin_bytes(pin, "empty", &size, NULL) != NULL && size == 0);
  CHECK(moddev_pin_bytes(pin, "absent", &size, NULL) == NULL);
  CHECK(moddev_pin_version(pin, "notes.txt", NULL) == 1);
  CHECK(moddev_pin_version(pin, "absent", &error) == 0);
  CHECK(strstr(moddev_error_message(error), "scorer") != NULL);
  moddev_error_free(error);
  CHECK(moddev_pin_module_count(pin) == 3);
  CHECK(strcmp(moddev_pin_module_name(pin, 0), "empty") == 0);
  CHECK(strcmp(moddev_pin_module_name(pin, 2), "scorer") == 0);
  CHECK(moddev_pin_module_name(pin, 3) == NULL);
}

static void check_pin_at(const moddev_client* client, uint64_t epoch) {
  moddev_error* error = NULL;
  moddev_pin* pin = moddev_pin_at(client, epoch, 1000, &error);
  CHECK(pin != NULL && error == NULL);
  CHECK(pin == NULL || moddev_pin_epoch(pin) == epoch);
  moddev_unpin(pin);
  CHECK(moddev_pin_at(client, epoch + 1000, 1, &error) == NULL);
  CHECK(moddev_error_code(error) == MODDEV_TIMEOUT);
  moddev_error_free(error);
}

/* Prints the epoch that runs without a daemon. */
static int run_offline(const char* grace) {
  moddev_options options = {.size = sizeof options, .offline_grace_s = atoll(grace)};
  moddev_client* client = moddev_connect(&options, NULL);
  if (client == NULL) return 1;
  (void)moddev_wait_for(client, "scorer", 2000, NULL);
  printf("epoch %d\n", (int)moddev_epoch(client));
  moddev_disconnect(client);
  return 0;
}

int main(int argc, char** argv) {
  moddev_options options = {
      .size = sizeof options, .name = "c", .on_event = on_event, .user = (void*)&applied};
  moddev_error* error = NULL;
  moddev_client* client = NULL;
  moddev_pin* pin = NULL;
  moddev_options old = {.size = sizeof(size_t)};

  if (argc > 2) return run_offline(argv[2]);
  CHECK(moddev_abi_version() == MODDEV_ABI_VERSION);
  check_connect_errors(argc > 1 ? argv[1] : "");
  client = moddev_connect(&options, &error);
  if (client == NULL) return printf("%s\n", moddev_error_message(error)), 1;
  CHECK(moddev_wait_for(client, "scorer", 30000, &error) == MODDEV_OK && error == NULL);
  CHECK(moddev_connected(client));
  CHECK(moddev_epoch(client) > 0);
  CHECK(moddev_wait_for_epoch(client, moddev_epoch(client), 1, NULL) == MODDEV_OK);
  CHECK(moddev_wait_for(client, "absent", 1, &error) == MODDEV_TIMEOUT);
  CHECK(strstr(moddev_error_message(error), "absent") != NULL);
  moddev_error_free(error);
  CHECK(moddev_wait_for(client, NULL, 1, NULL) == MODDEV_TIMEOUT);
  pin = moddev_pin_current(client);
  check_pin(pin);
  check_pin_at(client, moddev_pin_epoch(pin));
  moddev_unpin(pin);
  moddev_disconnect(client);
  CHECK(applied); /* disconnecting waits for the last notification */

  /* A caller that was compiled when the options were only a size. */
  client = moddev_connect(&old, NULL);
  CHECK(client != NULL);
  moddev_disconnect(client);
  return wrong == 0 ? 0 : 1;
}
