/* The one file that holds the code of stb_image and stb_image_write; its warnings are not ours. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#include "base/mem.h"

#define STBI_MALLOC(size)      mem_alloc(size)
#define STBI_REALLOC(p, size)  mem_realloc((p), (size))
#define STBI_FREE(p)           mem_free(p)
#define STBIW_MALLOC(size)     mem_alloc(size)
#define STBIW_REALLOC(p, size) mem_realloc((p), (size))
#define STBIW_FREE(p)          mem_free(p)
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
