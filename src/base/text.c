/* See text.h. The thread's locale is set to "C" for the length of a call: C and POSIX have no other way that every
 * system knows (vsnprintf_l is BSD's, strtod_l is not everywhere), and the C library's digits are right to the last
 * bit. */
#include "base/text.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Never freed: it is one for the process, and glibc's is static. */
static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

void *text_enter(void) {
  pthread_once(&once, make_locale);
  return (void *)uselocale(c_locale); /* 0, where there was no memory, changes nothing */
}

void text_leave(void *before) { uselocale((locale_t)before); }

int text_vformat(char *to, size_t size, const char *format, va_list args) {
  void *before = text_enter();
  int n = vsnprintf(to, size, format, args);
  text_leave(before);
  return n;
}

int text_format(char *to, size_t size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = text_vformat(to, size, format, args);
  va_end(args);
  return n;
}

int text_vprint(FILE *to, const char *format, va_list args) {
  void *before = text_enter();
  int n = vfprintf(to, format, args);
  text_leave(before);
  return n;
}

int text_print(FILE *to, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = text_vprint(to, format, args);
  va_end(args);
  return n;
}

double text_number(const char *s, char **end) {
  void *before = text_enter();
  double value = strtod(s, end);
  text_leave(before);
  return value;
}

/* --- characters ------------------------------------------------------------------------------- */

bool text_is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool text_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

char text_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool text_same(const char *a, const char *b) {
  while (*a && text_lower(*a) == text_lower(*b)) ++a, ++b;
  return text_lower(*a) == text_lower(*b);
}

bool text_ends(const char *s, const char *ending) {
  size_t n = strlen(s), m = strlen(ending);
  return n > m && text_same(s + n - m, ending);
}

size_t text_sequence(const char *text) {
  const unsigned char *s = (const unsigned char *)text;
  if (s[0] < 0x80) return 1;
  size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
  if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
  unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
  unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
  if (s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < n; ++i)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return n;
}
