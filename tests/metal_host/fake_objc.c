/* See fake_objc.h. Symbols have the names of Apple's, since the code under test looks them up. */
#include "fake_objc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_metal.h"

enum { MOST_SELECTORS = 256, MOST_POOLED = 4096 };

static struct fake_sel {
  const char *name;
} selectors[MOST_SELECTORS];
static object *all;
static object *pooled[MOST_POOLED]; /* NULL: a pool begins */
static int pooled_count;

void fake_stop(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("fake Objective-C: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  abort();
}

/* --- dispatch --------------------------------------------------------------------------------- */

fake_sel sel_registerName(const char *name);
object *objc_getClass(const char *name);
void *objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void *pool);
void objc_msgSend(void);
void fake_nil(void);
void (*fake_lookup(object *self, fake_sel sel))(void);

#if defined(__x86_64__)
__asm__(
    ".text\n.globl objc_msgSend\n.type objc_msgSend,@function\nobjc_msgSend:\n"
    "  pushq %rbp\n  movq %rsp, %rbp\n  subq $192, %rsp\n"
    "  movq %rdi, (%rsp)\n  movq %rsi, 8(%rsp)\n  movq %rdx, 16(%rsp)\n"
    "  movq %rcx, 24(%rsp)\n  movq %r8, 32(%rsp)\n  movq %r9, 40(%rsp)\n"
    "  movups %xmm0, 48(%rsp)\n  movups %xmm1, 64(%rsp)\n  movups %xmm2, 80(%rsp)\n"
    "  movups %xmm3, 96(%rsp)\n  movups %xmm4, 112(%rsp)\n  movups %xmm5, 128(%rsp)\n"
    "  movups %xmm6, 144(%rsp)\n  movups %xmm7, 160(%rsp)\n"
    "  call fake_lookup@PLT\n  movq %rax, %r11\n"
    "  movq (%rsp), %rdi\n  movq 8(%rsp), %rsi\n  movq 16(%rsp), %rdx\n"
    "  movq 24(%rsp), %rcx\n  movq 32(%rsp), %r8\n  movq 40(%rsp), %r9\n"
    "  movups 48(%rsp), %xmm0\n  movups 64(%rsp), %xmm1\n  movups 80(%rsp), %xmm2\n"
    "  movups 96(%rsp), %xmm3\n  movups 112(%rsp), %xmm4\n  movups 128(%rsp), %xmm5\n"
    "  movups 144(%rsp), %xmm6\n  movups 160(%rsp), %xmm7\n"
    "  leave\n  jmp *%r11\n"
    ".globl fake_nil\n.type fake_nil,@function\nfake_nil:\n"
    "  xorl %eax, %eax\n  xorps %xmm0, %xmm0\n  ret\n");
#elif defined(__aarch64__)
__asm__(
    ".text\n.globl objc_msgSend\n.type objc_msgSend,%function\nobjc_msgSend:\n"
    "  stp x29, x30, [sp, #-224]!\n  mov x29, sp\n"
    "  stp x0, x1, [sp, #16]\n  stp x2, x3, [sp, #32]\n  stp x4, x5, [sp, #48]\n"
    "  stp x6, x7, [sp, #64]\n  str x8, [sp, #80]\n"
    "  stp q0, q1, [sp, #96]\n  stp q2, q3, [sp, #128]\n"
    "  stp q4, q5, [sp, #160]\n  stp q6, q7, [sp, #192]\n"
    "  bl fake_lookup\n  mov x16, x0\n"
    "  ldp x0, x1, [sp, #16]\n  ldp x2, x3, [sp, #32]\n  ldp x4, x5, [sp, #48]\n"
    "  ldp x6, x7, [sp, #64]\n  ldr x8, [sp, #80]\n"
    "  ldp q0, q1, [sp, #96]\n  ldp q2, q3, [sp, #128]\n"
    "  ldp q4, q5, [sp, #160]\n  ldp q6, q7, [sp, #192]\n"
    "  ldp x29, x30, [sp], #224\n  br x16\n"
    ".globl fake_nil\n.type fake_nil,%function\nfake_nil:\n"
    "  mov x0, #0\n  fmov d0, xzr\n  ret\n");
#else
#error "no objc_msgSend for this machine"
#endif

static void *nothing_new(object *self, fake_sel sel);
static object *retain_it(object *self, fake_sel sel);
static void release_it(object *self, fake_sel sel);
static object *autorelease_it(object *self, fake_sel sel);
static signed char responds(object *self, fake_sel sel, fake_sel asked);

#define METHOD(selector, function) {selector, (void (*)(void))(function)}
static const fake_method of_all[] = {METHOD("retain", retain_it),
                                     METHOD("release", release_it),
                                     METHOD("autorelease", autorelease_it),
                                     METHOD("respondsToSelector:", responds),
                                     {NULL, NULL}};
static const fake_method of_all_classes[] = {METHOD("new", nothing_new), {NULL, NULL}};

static void (*find(const fake_method *methods, const char *name))(void) {
  for (; methods != NULL && methods->selector != NULL; methods++) {
    if (strcmp(methods->selector, name) == 0) return methods->function;
  }
  return NULL;
}

static void (*method_of(const object *self, const char *name))(void) {
  const fake_class *c = self->isa != NULL ? self->isa : (const fake_class *)(const void *)self;
  void (*found)(void) = find(self->isa != NULL ? c->methods : c->class_methods, name);
  return found != NULL ? found : find(self->isa != NULL ? of_all : of_all_classes, name);
}

void (*fake_lookup(object *self, fake_sel sel))(void) {
  if (self == NULL) return fake_nil;
  const char *name = self->isa != NULL ? self->isa->name : "a class";
  if (self->isa != NULL && self->retains <= 0)
    fake_stop("%s sent to a %s that is gone", sel->name, name);
  void (*found)(void) = method_of(self, sel->name);
  if (found == NULL) fake_stop("%s does not understand %s", name, sel->name);
  return found;
}

fake_sel sel_registerName(const char *name) {
  for (int i = 0; i < MOST_SELECTORS; i++) {
    if (selectors[i].name == NULL) selectors[i].name = name;
    if (strcmp(selectors[i].name, name) == 0) return &selectors[i];
  }
  fake_stop("too many selectors");
}

object *objc_getClass(const char *name) {
  for (int i = 0; fake_classes[i] != NULL; i++) {
    if (strcmp(fake_classes[i]->name, name) == 0)
      return fake_has_class(name) ? &fake_classes[i]->head : NULL;
  }
  fake_stop("there is no class %s", name);
}

/* --- objects ---------------------------------------------------------------------------------- */

object *fake_new(const fake_class *c) {
  object *o = calloc(1, sizeof *o);
  if (o == NULL) fake_stop("no memory");
  o->isa = c;
  o->retains = 1;
  o->next = all;
  all = o;
  return o;
}

object *fake_retain(object *o) {
  if (o == NULL) return NULL;
  if (o->retains <= 0) fake_stop("a %s that is gone is retained", o->isa->name);
  o->retains++;
  return o;
}

void fake_release(object *o) {
  if (o == NULL) return;
  if (o->retains <= 0) fake_stop("a %s is released once too often", o->isa->name);
  if (--o->retains > 0) return;
  if (o->isa->dealloc != NULL) o->isa->dealloc(o);
  for (int i = 0; i < HELD; i++) fake_release(o->held[i]);
  free(o->text);
  free(o->data);
}

object *fake_autorelease(object *o) {
  if (o == NULL) return NULL;
  if (pooled_count == 0) fake_stop("a %s is autoreleased without a pool", o->isa->name);
  if (pooled_count == MOST_POOLED) fake_stop("the autorelease pool overflows");
  pooled[pooled_count++] = o;
  return o;
}

void *objc_autoreleasePoolPush(void) {
  if (pooled_count == MOST_POOLED) fake_stop("the autorelease pool overflows");
  pooled[pooled_count++] = NULL;
  return &pooled[pooled_count - 1];
}

/* Pops the pools inside as well. */
void objc_autoreleasePoolPop(void *pool) {
  object **bottom = pool;
  if (bottom < pooled || bottom >= pooled + pooled_count || *bottom != NULL)
    fake_stop("a pool is popped that is not there");
  while (pooled + pooled_count > bottom) fake_release(pooled[--pooled_count]);
}

void fake_hold(object *o, int at, object *held) {
  object *old = o->held[at];
  o->held[at] = fake_retain(held);
  fake_release(old);
}

bool fake_is(const object *o, const char *class_name) {
  return o != NULL && o->isa != NULL && o->retains > 0 && strcmp(o->isa->name, class_name) == 0;
}

static void *nothing_new(object *self, fake_sel sel) {
  (void)sel;
  return fake_new((const fake_class *)(const void *)self);
}
static object *retain_it(object *self, fake_sel sel) {
  (void)sel;
  return fake_retain(self);
}
static void release_it(object *self, fake_sel sel) {
  (void)sel;
  fake_release(self);
}
static object *autorelease_it(object *self, fake_sel sel) {
  (void)sel;
  return fake_autorelease(self);
}
static signed char responds(object *self, fake_sel sel, fake_sel asked) {
  (void)sel;
  return fake_has_method(asked->name) && method_of(self, asked->name) != NULL;
}

int fake_live(void) {
  int live = 0;
  for (const object *o = all; o != NULL; o = o->next) live += o->retains > 0;
  return live;
}

int fake_pools(void) { return pooled_count; }

const char *fake_first_live(void) {
  for (const object *o = all; o != NULL; o = o->next)
    if (o->retains > 0) return o->isa->name;
  return "nothing";
}

void fake_forget(void) {
  pooled_count = 0;
  while (all != NULL) {
    object *next = all->next;
    free(all);
    all = next;
  }
}
