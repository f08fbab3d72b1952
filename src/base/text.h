/* Text that does not follow the locale: numbers are formatted and parsed as in the locale "C", whatever the process or
 * the thread has set, so that generated source, keys, JSON and CSV are the same everywhere.
 *
 * Always holds: the caller's locale is what it was when a function returns; other threads never see a change.
 * tools/locale.awk keeps what would follow the locale out of all other files. */
#ifndef WN_BASE_TEXT_H
#define WN_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/diag.h"

/* As snprintf, vsnprintf, fprintf and vfprintf. */
int text_format(char *to, size_t size, const char *format, ...) WN_PRINTF(3, 4);
int text_vformat(char *to, size_t size, const char *format, va_list args) WN_PRINTF(3, 0);
int text_print(FILE *to, const char *format, ...) WN_PRINTF(2, 3);
int text_vprint(FILE *to, const char *format, va_list args) WN_PRINTF(2, 0);
/* As strtod. */
double text_number(const char *s, char **end);

/* As isalnum, isspace and tolower; a byte past 127 is no letter. */
bool text_is_word(char c);
bool text_is_space(char c);
char text_lower(char c);
/* Are they equal, but for upper and lower case? */
bool text_same(const char *a, const char *b);
/* Does the text end so, after something else, in upper or lower case? */
bool text_ends(const char *s, const char *ending);

/* Bytes of the well-formed UTF-8 sequence at s (Unicode, table 3-7), 0 where there is none. s ends with a 0. */
size_t text_sequence(const char *s);

/* Around calls into libraries that format or parse numbers: what text_enter returns goes to text_leave. */
void *text_enter(void);
void text_leave(void *before);

#endif
