/* A member of a fleet on another machine, in C: joins with the keys that are named, runs what this signer signed
 * and calls scorer's value(). Prints the value, or why it runs nothing.
 * Usage: c_keys_check ENDPOINT KEY_FILE DAEMON_KEY SIGNER MODULE */
#include <moddev/c_api.h>
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char reason[1024];

static void on_event(const moddev_event* event, void* user) {
  (void)user;
  if (event->kind != MODDEV_STALE && event->kind != MODDEV_FAILED) return;
  pthread_mutex_lock(&mutex);
  if (reason[0] == 0) snprintf(reason, sizeof reason, "%s", event->message);
  pthread_mutex_unlock(&mutex);
}

static int told(void) {
  int is_told = 0;
  pthread_mutex_lock(&mutex);
  is_told = reason[0] != 0;
  pthread_mutex_unlock(&mutex);
  return is_told;
}

int main(int argc, char** argv) {
  moddev_error* error = NULL;
  moddev_client* client = NULL;
  int i = 0;
  if (argc != 6) return 2;
  const char* const daemon_keys[] = {argv[3]};
  const char* const signers[] = {argv[4]};
  const char* const modules[] = {argv[5]};
  const moddev_options options = {.size = sizeof options,
                                  .name = "c",
                                  .endpoint = argv[1],
                                  .on_event = on_event,
                                  .key = argv[2],
                                  .daemon_keys = daemon_keys,
                                  .daemon_key_count = 1,
                                  .signers = signers,
                                  .signer_count = 1,
                                  .modules = modules,
                                  .module_count = 1};
  client = moddev_connect(&options, &error);
  if (client == NULL) return printf("%s\n", moddev_error_message(error)), 1;
  for (i = 0; i < 400 && !told(); ++i) {
    if (moddev_wait_for(client, "scorer", 100, NULL) == MODDEV_OK) break;
  }
  if (!told()) {
    moddev_pin* pin = moddev_pin_current(client);
    const moddev_function value = moddev_pin_function(pin, "scorer", "value", NULL);
    if (value != NULL) printf("%lld\n", ((long long (*)(void))value)());
    moddev_unpin(pin);
  }
  moddev_disconnect(client);
  if (told()) printf("%s\n", reason);
  return 0;
}
