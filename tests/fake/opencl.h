/* The handles by which a test drives fake/opencl.c, found in the library with dlsym. */
#ifndef WN_TESTS_FAKE_OPENCL_H
#define WN_TESTS_FAKE_OPENCL_H

typedef struct fake_opencl {
  long calls;           /* so far; releases are not counted */
  long fail_at;         /* this call fails, from 1; 0: none */
  int fail_ever_after;  /* and all that follow: the device is gone */
  int error;            /* with this one */
  const char *refuse;   /* a source with this text does not build */
  int live;             /* objects that nobody has released */
  int builds, binaries; /* programs built from source, and from binaries */
  int launches;
} fake_opencl;

#define FAKE_OPENCL_STATE "fake_opencl_state"

#endif
