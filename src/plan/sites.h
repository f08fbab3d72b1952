/* The stored values of a graph and its sites: everything that a plan says something about.
 *
 * In: simplified range IR. Out: its stored values, in an order in which they can be computed, each as a graph of its
 * own; and its sites, numbered before there is any plan, so that numbers do not move when a plan changes.
 * A site is a convolution that the recogniser knows (its stages x, g, m and o where it is rewritten, else the stored
 * value that it is in), or a stored value without one: a sum of products, another reduction, or a map.
 * A stored value becomes kernels of its own, whatever is around it: it reads arrays and writes one. (A concatenation
 * has none: what it is made of is stored straight into its array, lower/cats.h. It is no site, for there is nothing to
 * plan.) Its *canonical*
 * form reads BUFFERs that are numbered from 0 and has loops that are numbered alike in every value, so values that
 * compute the same are the same node, and all that follows is done once for them.
 * Values that have the same loops may be *joined*: the kernel of the first stores the others as well (joins.h).
 * Always holds: a value comes after those that it reads; the sites of a value have consecutive numbers. */
#ifndef WN_PLAN_SITES_H
#define WN_PLAN_SITES_H

#include "plan/schedule.h"
#include "winograd/winograd.h"

typedef enum { SITE_CONV, SITE_PRODUCT, SITE_SUM, SITE_MAP, SITE_KINDS } site_kind;
extern const char *const site_kind_name[SITE_KINDS]; /* conv product sum map */

/* Why a stored value has the layout that it has (storage.h). */
typedef enum {
  LAYOUT_IS_CHOSEN,
  LAYOUT_IS_SAID,
  LAYOUT_TO_FIT,    /* as given, since with channels last no plan fits the limit of memory */
  LAYOUT_OF_DEVICE, /* from here on there is no choice */
  LAYOUT_OF_OUTPUT,
  LAYOUT_OF_CONSTANT,
  LAYOUT_NO_CHANNELS,
  LAYOUT_LAST_AS_GIVEN,
  LAYOUT_FEW_CHANNELS,
  LAYOUT_OF_A_PART, /* of a concatenation, with what has none */
  LAYOUT_REASONS
} layout_reason;
extern const char *const layout_reason_name[LAYOUT_REASONS]; /* in a word or two */

/* The caller's buffers, by slot: what lowering left as OP_BUFFER. */
typedef struct user_buffer {
  wn_dtype dtype;
  int64_t len;  /* as addressed, of which so many elements */
  int64_t gaps; /* are not of it but of what it stands between */
  bool constant;
  int joined; /* of the arrays of a stored value: place + 1 of the value of the same kernel that it is; 0: none */
} user_buffer;

typedef struct stored_value {
  const char *label;    /* "result0", "b3": interned */
  const uop *canonical; /* a BUFFERIZE over BUFFERs 0 .. narrays - 1 */
  int narrays;
  /* by number of such a BUFFER: the caller's slot, or for a stored value ~ its index */
  const int *array;
  int64_t len;       /* elements, */
  int64_t span;      /* and those between its first and its last in memory */
  int result;        /* number of the output that it is; -1: none */
  bool constant;     /* depends on constants alone, and on no result, which every run makes */
  int alike;         /* index of the first value with the same canonical form */
  int first, nsites; /* its sites; of a concatenation nsites is 0 */
  int nconvs;
  const uop *const *conv; /* REDUCEs in the canonical form, in the order of its sites, */
  const uop *const *sum;  /* and the tensor-level sum that each of them is; NULL: not known */
  int joined; /* index + 1 of the value whose kernel stores it; 0: it has one of its own, */
  int nothers;
  const int *others; /* that stores these as well: then the canonical form is a SINK of all */
  /* index + 1 of the value whose kernel makes these partial sums of it (pooled.h); 0: they are none */
  int summed;
  int whole; /* index + 1 of the concatenation in whose array it is; 0: it has its own */
  int64_t
      at; /* element of that at which it begins; its canonical form says what gaps it has there */
  value_layout layout; /* LAYOUT_CHOSEN: there is one only */
  layout_reason layout_why;
  double layout_gain; /* of this one over the other, in vector operations (storage.h) */
  /* LAYOUT_LAST: as the graph has it, so many channels come behind loops of so many rounds together */
  int64_t channels, before_channels;
} stored_value;

typedef struct graph_site {
  site_kind kind;
  int value;             /* index of the stored value that it is in */
  const char *name;      /* see site_names.c; NULL: it has none */
  const int_list *shape; /* of the stored value, as its maker sees it */
  bool joins;            /* its value might be stored by an earlier one's kernel */
} graph_site;

typedef struct site_list {
  const uop *root;
  int nvalues;
  const stored_value *value;
  int n;
  const graph_site *at;
  /* in which values are computed, without those that are joined, ended by -1; NULL:
   * as they come */
  const int *order;
  double layout_price; /* of the layouts of all, in vector operations */
} site_list;

static inline wn_dtype value_dtype(const stored_value *v) {
  const uop *form = v->nothers > 0 ? v->canonical->src[0] : v->canonical;
  return (wn_dtype)form->dtype;
}

/* Made of others, which are stored where it is. */
static inline bool value_is_cat(const stored_value *v) { return v->nsites == 0; }

/* Sites of a value and of those that its kernel stores as well, and the number of each, by its place among them. */
static inline int value_sites(const stored_value *v) { return v->nsites + v->nothers; }
static inline int value_site(const site_list *l, const stored_value *v, int i) {
  return i < v->nsites ? v->first + i : l->value[v->others[i - v->nsites]].first;
}

site_list sites_of(graph *g, const uop *root, const user_buffer *user);

/* Of the same graph with its values in other layouts: sites keep their numbers, whatever the order of values is now. */
site_list sites_again(graph *g, const uop *root, const user_buffer *user, const site_list *before);

/* What a site is called in text for people: conv3, or conv3 "layer1.0.conv1". */
const char *site_text(arena *a, const site_list *sites, int site);

/* The same without the values of some sites (none of which is a convolution or a result): their readers compute them.
 * The others keep their numbers. diag_fail(WN_ERR_REFUSED) where a reader's convolution would not be known as one any
 * more. */
site_list sites_inline(graph *g, const site_list *all, const user_buffer *user,
                       const bool *inlined);

/* --- site_names.c ----------------------------------------------------------------------------- */

/* Names and shapes of all sites, after lowering. */
void name_sites(graph *g, const site_list *sites, graph_site *at);

#endif
