#!/bin/sh
# The checks of tools/ find what they are there for, and nothing else.
. tests/cli/support/cases.sh

# finds STATUS NAME LINE COUNT: awk's findings in a file of one line
finds() {
  want=$1
  name=$2
  cases=$((cases + 1))
  why=
  printf '%s\n' "$3" >part.c
  LC_ALL=C awk -f "$here/tools/locale.awk" part.c >out 2>err
  got=$?
  [ "$got" -eq "$want" ] || why="exit status $got, expected $want"
  end
}

finds 1 'printf of a float' 'printf("%.3f\n", x);'
finds 1 'a width that is an argument' 'snprintf(b, n, "%*.*g", 3, 4, x);'
finds 1 'a long one' 'fprintf(f, "a %s" "b %-10.3Lf", s, x);'
finds 1 'hexadecimal' 'fprintf(out, sign ? "(%a)" : "%d", f);'
finds 1 'in parentheses' 'printf(((a) ? "%e" : "%d"), f);'
finds 1 'inside another call' 'put(f(1, 2), snprintf(b, n, "%g", x));'
finds 1 'over lines' 'printf(
  "%d %f\n",
  n, x);'
finds 1 'a format that is no literal' 'printf(format, x);'
finds 1 'through a macro' '#define LOG(...) fprintf(stderr, __VA_ARGS__)'
finds 1 'a list of arguments' 'vsnprintf(b, n, "%d", args);'
finds 1 'not called' 'int (*show)(const char *, ...) = printf;'
finds 1 'parsing' 'double v = strtod(s, &end);'
finds 1 'scanning' 'sscanf(s, "%d %lf", &n, &v);'
finds 1 'characters' 'if (isalnum((unsigned char)c)) n++;'
finds 1 'dates in words' 'strftime(b, n, "%d %b", &t);'
finds 1 'JSON of a library' 'char *t = cJSON_PrintUnformatted(o);'
finds 0 'whole numbers' 'printf("%d %5.3s %" PRId64 "%% f %zu%x\n", a, b, c, d, e);'
finds 0 'a text that looks like a format' 'printf("%s", "%f");'
finds 0 'our own' 'text_print(stdout, "%g", x); str_printf(&s, "%.17g", x);'
finds 0 'our own inside' 'printf("%s", arena_printf(a, "%f", x));'
finds 0 'comments' '/* printf("%f", x) */ // strtod(
int isalnum_;'
finds 0 'attributes' '#define P(f, a) __attribute__((format(printf, f, a)))'
finds 0 'dates in digits' 'strftime(b, n, "%Y-%m-%dT%H:%M:%SZ", &t);'
finds 0 'characters' "int c = '\"'; printf(\"%d\", c);"
finds 0 'integers' 'unsigned long v = strtoul(s, &e, 10); fscanf(f, "%llu", &b);'
finish
