# winnow_flags: language, warnings and sanitizers, the same for every target.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug (verifiers after every pass)" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

# The results of floating-point code in the library must not depend on what the C compiler contracts.
set(WINNOW_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
set(WINNOW_FLAGS -ffp-contract=off)

add_library(winnow_flags INTERFACE)
target_compile_options(winnow_flags INTERFACE ${WINNOW_WARNINGS} ${WINNOW_FLAGS})
target_compile_definitions(winnow_flags INTERFACE _POSIX_C_SOURCE=200809L)
if(APPLE) # what is not POSIX is hidden there otherwise
  target_compile_definitions(winnow_flags INTERFACE _DARWIN_C_SOURCE)
endif()
if(WINNOW_WERROR)
  target_compile_options(winnow_flags INTERFACE -Werror)
endif()

if(WINNOW_SANITIZE)
  set(sanitize -fsanitize=${WINNOW_SANITIZE} -fno-omit-frame-pointer)
  if(WINNOW_SANITIZE MATCHES "undefined")
    list(APPEND sanitize -fno-sanitize-recover=all)
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
      # It reads the bytes before a function, which for a kernel compiled in process need not be there.
      list(APPEND sanitize -fno-sanitize=function)
    endif()
  endif()
  target_compile_options(winnow_flags INTERFACE ${sanitize})
  target_link_options(winnow_flags INTERFACE ${sanitize})
endif()

if(WINNOW_FUZZ)
  target_compile_options(winnow_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
