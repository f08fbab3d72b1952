/* Any string is a problem or an error inside it; a problem prints to one that parses to the same
 * sizes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1), printed[1024], again[1024];
  problem p, q;
  problem_error e;
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = 0;
  if (!problem_parse(text, &p, &e)) {
    if (e.at > strlen(text) || !e.message[0]) abort();
  } else {
    problem_print(&p, printed, sizeof printed);
    bool quoted = strchr(p.name, '"') != NULL;
    if (strlen(printed) < sizeof p.text && !quoted) {
      if (!problem_parse(printed, &q, &e)) abort();
      problem_print(&q, again, sizeof again);
      if (strcmp(printed, again) || q.macs != p.macs) abort();
    }
  }
  free(text);
  return 0;
}
