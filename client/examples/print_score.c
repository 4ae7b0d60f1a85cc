/* A whole program in C: calls a native module, reads a data file that is a module too, and is told when it
 * changes. Usage: print_score CHANGES   (ends after the data has changed so many times; `moddev watch` runs
 * elsewhere) */
#include <moddev/c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int changes; /* written and read on the notification thread, read by main() after moddev_unwatch() */
static int wanted;
static int pipe_ends[2];

static void on_data(const moddev_pin* pin, void* user) {
  size_t size = 0;
  const char* bytes = moddev_pin_bytes(pin, "weights.txt", &size, NULL);
  (void)user;
  if (bytes == NULL) return;
  printf("weights.txt version %d: %.*s", (int)moddev_pin_version(pin, "weights.txt", NULL), (int)size, bytes);
  fflush(stdout);
  if (++changes == wanted && write(pipe_ends[1], "x", 1) != 1) abort();
}

static int fail(const moddev_error* error) {
  fprintf(stderr, "print_score: %s\n", moddev_error_message(error));
  return 1;
}

int main(int argc, char** argv) {
  moddev_options options = {.size = sizeof options, .name = "print_score"};
  moddev_error* error = NULL;
  moddev_client* client = NULL;
  moddev_pin* pin = NULL;
  moddev_watch* watch = NULL;
  long (*score)(long) = NULL;
  char done = 0;

  wanted = argc > 1 ? atoi(argv[1]) : 1;
  if (pipe(pipe_ends) != 0) return 1;
  client = moddev_connect(&options, &error);
  if (client == NULL) return fail(error);
  if (moddev_wait_for(client, "scorer", 30000, &error) != MODDEV_OK) return fail(error);

  pin = moddev_pin_current(client);
  score = (long (*)(long))moddev_pin_function(pin, "scorer", "score", &error);
  if (score == NULL) return fail(error);
  printf("%ld in epoch %d\n", score(20), (int)moddev_pin_epoch(pin));
  fflush(stdout);
  moddev_unpin(pin);

  watch = moddev_watch_module(client, "weights.txt", on_data, NULL);
  if (read(pipe_ends[0], &done, 1) != 1) return 1;
  moddev_unwatch(watch);
  moddev_disconnect(client);
  return 0;
}
