/* The report that shows why a plan is fast or slow: one HTML file that needs nothing else.
 *
 * In: a report_set. Out: the page (page.html, page.css and page*.js, embedded when winnow is built)
 * with the rows in it as JSON. Always holds: nothing in the data can end the element that it is in
 * or run, whatever the texts are; each kernel and each source is in the file once. */
#ifndef WN_REPORT_HTML_H
#define WN_REPORT_HTML_H

#include "report/collect.h"

/* Bytes as a zlib stream (RFC 1950) in the arena; unwinds where there is no memory. */
typedef const unsigned char *(*report_pack_fn)(arena *a, const void *bytes, size_t size,
                                               size_t *packed);

/* An error of the stream stays in it; false: no memory. */
bool report_html(FILE *out, const report_set *set, report_pack_fn pack);

#endif
