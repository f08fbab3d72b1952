/* hostile_page FILE [SITES]: a report whose every text would run as markup if it were not escaped; or of one program of
 * so many sites. */
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "pack.h"
#include "report/html.h"
#include "unit/report_rows.h"

int main(int argc, char **argv) {
  diag d;
  arena a;
  report_set set;
  volatile bool whole = false;
  wn_status status;
  int sites = argc == 3 ? atoi(argv[2]) : 0;
  FILE *out = argc == 2 || sites > 0 ? fopen(argv[1], "wb") : NULL;
  if (!out) return 2;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, status) {
    if (sites > 0)
      network_set(&set, &a, sites);
    else
      sample_set(&set, &a);
    whole = report_html(out, &set, pack_zlib);
  }
  DIAG_END(&d, status)
  arena_release(&a);
  return fclose(out) == 0 && status == WN_OK && whole ? 0 : 1;
}
