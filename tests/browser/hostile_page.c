/* hostile_page FILE: a report whose every text would run as markup if it were not escaped. */
#include <cjson/cJSON.h>

#include "pack.h"
#include "report/html.h"
#include "unit/report_rows.h"

int main(int argc, char **argv) {
  diag d;
  arena a;
  report_set set;
  volatile bool whole = false;
  wn_status status;
  FILE *out = argc == 2 ? fopen(argv[1], "wb") : NULL;
  if (!out) return 2;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, status) {
    sample_set(&set, &a);
    whole = report_html(out, &set, pack_zlib);
  }
  DIAG_END(&d, status)
  arena_release(&a);
  return fclose(out) == 0 && status == WN_OK && whole ? 0 : 1;
}
