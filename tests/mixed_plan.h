/* Plans at random for each site of a graph, as text: conv0{old} map3{inline} product4{global;t=16,k=2} sum5{with=map3}.
 * What a plan may say of a site is only known once it was tried, so a plan that is refused gives way where the message
 * says. */
#ifndef WN_TESTS_MIXED_PLAN_H
#define WN_TESTS_MIXED_PLAN_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/conv_case.h"

enum { MIXED_SITES = 16, MIXED_SITE = 24, MIXED_PLAN = 88 };

typedef struct mixed_item {
  char site[MIXED_SITE], plan[MIXED_PLAN]; /* "": nothing is said */
  int at;                                  /* where it begins in the text */
} mixed_item;

typedef struct mixed_plan {
  mixed_item item[MIXED_SITES];
  int n;
  const char *all; /* before the braces; "" */
  char text[MIXED_SITES * (MIXED_SITE + MIXED_PLAN + 3) + 16];
} mixed_plan;

/* What is asked for to be told which sites there are; the refusal lists the first MIXED_SITES. */
#define MIXED_NO_SITE "conv9999{direct}"

static inline bool mixed_sites(mixed_plan *m, const char *refusal) {
  static const char has[] = "the graph has ";
  const char *at = strstr(refusal, has);
  m->n = 0;
  if (at == NULL) return false;
  at += sizeof has - 1;
  for (int used = 0; m->n < MIXED_SITES; at += used) {
    char *name = m->item[m->n].site;
    if (sscanf(at, "%23s%n", name, &used) != 1 || strcmp(name, "and") == 0) break;
    m->n++;
  }
  return m->n > 0;
}

static inline void mixed_write(mixed_plan *m) {
  size_t n = (size_t)snprintf(m->text, sizeof m->text, "%s", m->all);
  for (int i = 0; i < m->n; ++i) {
    mixed_item *it = &m->item[i];
    it->at = (int)n;
    if (it->plan[0] == '\0') continue;
    n += (size_t)snprintf(m->text + n, sizeof m->text - n, "%s%s{%s}", n > 0 ? " " : "", it->site,
                          it->plan);
  }
  if (n == 0) snprintf(m->text, sizeof m->text, "auto");
}

static inline void mixed_set(mixed_item *it, const char *plan) {
  snprintf(it->plan, sizeof it->plan, "%s", plan);
}

static inline const char *mixed_draw_one(uint64_t *random, const char *site) {
  static const char *const convs[] = {"direct",
                                      "direct;t=16,k=2",
                                      "direct;chains=2",
                                      "auto",
                                      "old",
                                      "old-2k",
                                      "new",
                                      "inline-m",
                                      "one",
                                      "x-only",
                                      "g-only",
                                      "fused",
                                      "split",
                                      "x=local,g=global,m=local,o=global;t=16;wino=2",
                                      "x=local,g=global,m=local,o=global;share=x0",
                                      "x=global,g=global,m=global,o=global;chunk=4;wino=3",
                                      "x=global,g=global,m=global,o=global;t=8,k=4;v=k"};
  static const char *const products[] = {"global", "global;t=16,k=2;chains=3", "global;t=8",
                                         "inline"};
  if (strncmp(site, "conv", 4) == 0) return convs[below(random, sizeof convs / sizeof *convs)];
  if (strncmp(site, "product", 7) == 0) return products[below(random, 4)];
  if (strncmp(site, "sum", 3) == 0 && chance(random, 30)) return "global;chains=4;lanes=sum.4";
  return chance(random, 50) ? "global" : "inline";
}

/* An order of what the site stores, which it need not be able to have. */
static inline void mixed_lay_out(mixed_item *it, uint64_t *random) {
  size_t n = strlen(it->plan);
  const bool says = strcmp(it->plan, "direct") == 0 || strcmp(it->plan, "global") == 0 ||
                    strchr(it->plan, '=') != NULL; /* names take no options */
  if (!says || !chance(random, 40)) return;
  snprintf(it->plan + n, sizeof it->plan - n, ";layout=%s", chance(random, 60) ? "last" : "given");
}

static inline bool mixed_is_conv(const mixed_item *it) { return strncmp(it->site, "conv", 4) == 0; }

/* Stored by the kernel of one that comes before it, if there is one to be had. */
static inline void mixed_join(mixed_plan *m, uint64_t *random, int i) {
  mixed_item *it = &m->item[i], *to = i > 0 ? &m->item[below(random, i)] : NULL;
  if (to == NULL || mixed_is_conv(to) || mixed_is_conv(it)) return;
  snprintf(it->plan, sizeof it->plan, "with=%s", to->site);
}

/* A sum whose partial sums an earlier one's kernel makes, which need not be what it sums. */
static inline void mixed_pool(mixed_plan *m, uint64_t *random, int i) {
  mixed_item *it = &m->item[i], *of = i > 0 ? &m->item[i - 1 - below(random, i < 3 ? i : 3)] : NULL;
  if (of == NULL || strncmp(it->site, "sum", 3) != 0 || strcmp(of->plan, "inline") == 0) return;
  snprintf(it->plan, sizeof it->plan, "global;sums=%s", of->site);
}

static inline void mixed_draw(mixed_plan *m, uint64_t *random) {
  static const char *const all[] = {
      "", "", "direct", "fused", "old", "auto", "direct;layout=last", "direct;layout=given"};
  m->all = all[below(random, sizeof all / sizeof *all)];
  for (int i = 0; i < m->n; ++i) {
    mixed_set(&m->item[i], chance(random, 75) ? mixed_draw_one(random, m->item[i].site) : "");
    mixed_lay_out(&m->item[i], random);
    if (chance(random, 30)) mixed_join(m, random, i);
    if (chance(random, 60)) mixed_pool(m, random, i);
  }
  mixed_write(m);
}

/* The item that stands before this place of the text. */
static inline mixed_item *mixed_before(mixed_plan *m, int at) {
  mixed_item *last = NULL;
  for (int i = 0; i < m->n; ++i) {
    if (m->item[i].at < at && m->item[i].plan[0] != '\0') last = &m->item[i];
  }
  return last;
}

/* Another plan for what a message says is impossible; false: it says something else. */
static inline bool mixed_give_way(mixed_plan *m, wn_status status, const char *message) {
  const char *column = strstr(message, "at column "), *conv = strstr(message, "plan of conv");
  mixed_item *to = NULL;
  const char *plan = "global";
  bool gave = false;
  char unlaid[MIXED_PLAN] = "", *layout;
  if (status == WN_ERR_USAGE && (strstr(message, "cannot have layout=last") != NULL ||
                                 strstr(message, "is stored together with has another") != NULL)) {
    char name[MIXED_SITE] = "";
    sscanf(message, "plan: %23[a-z0-9]", name);
    for (int i = 0; i < m->n; ++i) {
      if (strcmp(m->item[i].site, name) == 0) to = &m->item[i];
    }
    if (to == NULL || (layout = strstr(to->plan, ";layout=")) == NULL) return false;
    snprintf(unlaid, sizeof unlaid, "%.*s", (int)(layout - to->plan), to->plan);
    plan = unlaid;
  } else if (status == WN_ERR_USAGE && strstr(message, "it is a result") != NULL &&
             column != NULL) {
    to = mixed_before(m, atoi(column + strlen("at column ")) - 1);
    if (to != NULL && strcmp(to->plan, "inline") != 0) return false;
  } else if (status == WN_ERR_REFUSED && strstr(message, "cannot be inlined") != NULL) {
    for (int i = 0; i < m->n; ++i) {
      if (strcmp(m->item[i].plan, "inline") == 0) to = &m->item[i];
    }
  } else if (status == WN_ERR_REFUSED && strstr(message, "partial sums (sums=) cannot") != NULL) {
    char name[MIXED_SITE] = ""; /* whose kernel it is */
    sscanf(message, "%23[a-z0-9]", name);
    for (int i = 0; i < m->n; ++i) {
      const char *from = strstr(m->item[i].plan, ";sums=");
      if (from != NULL && (name[0] == '\0' || strcmp(from + strlen(";sums="), name) == 0))
        to = &m->item[i];
    }
  } else if (status == WN_ERR_REFUSED && (strstr(message, " cannot be stored with ") != NULL ||
                                          strstr(message, " cannot have its sums from ") != NULL)) {
    char name[MIXED_SITE] = "";
    sscanf(message, "%23[a-z0-9]", name);
    for (int i = 0; i < m->n; ++i) {
      if (strcmp(m->item[i].site, name) == 0) to = &m->item[i];
    }
  } else if (status == WN_ERR_REFUSED && conv != NULL) {
    char name[MIXED_SITE] = "";
    sscanf(conv, "plan of %23[a-z0-9]", name);
    plan = "direct";
    for (int i = 0; i < m->n; ++i) {
      if (strcmp(m->item[i].site, name) == 0 && strcmp(m->item[i].plan, "direct") != 0)
        to = &m->item[i];
    }
  } else if (status ==
             WN_ERR_REFUSED) { /* a machine that has no room, or nothing that all can be */
    gave = m->all[0] != '\0';
    m->all = "";
    plan = "direct";
    for (int i = 0; i < m->n; ++i) {
      if (strncmp(m->item[i].site, "conv", 4) == 0 && strcmp(m->item[i].plan, "direct") != 0)
        to = &m->item[i];
    }
  }
  if (to != NULL) mixed_set(to, plan);
  mixed_write(m);
  return gave || to != NULL;
}

#endif
