# What winnow needs: winnow_dependencies (pthreadpool, cJSON, SQLite, m, dl and, when found, LLVM) for the library,
# winnow_cli_dependencies (stb) for the program. docs/dependencies.md says what each is for.
find_package(Threads REQUIRED)

set(WINNOW_MISSING "")
find_path(STB_INCLUDE stb_image.h PATH_SUFFIXES stb)
if(NOT STB_INCLUDE)
  list(APPEND WINNOW_MISSING "the stb headers (Debian: libstb-dev)")
endif()
find_path(CJSON_INCLUDE cjson/cJSON.h)
find_library(CJSON_LIBRARY cjson)
if(NOT CJSON_INCLUDE OR NOT CJSON_LIBRARY)
  list(APPEND WINNOW_MISSING "cJSON (Debian: libcjson-dev)")
endif()
find_path(PTHREADPOOL_INCLUDE pthreadpool.h)
find_library(PTHREADPOOL_LIBRARY pthreadpool)
if(NOT PTHREADPOOL_INCLUDE OR NOT PTHREADPOOL_LIBRARY)
  list(APPEND WINNOW_MISSING "pthreadpool (Debian: libpthreadpool-dev)")
endif()
find_path(SQLITE_INCLUDE sqlite3.h)
find_library(SQLITE_LIBRARY sqlite3)
if(NOT SQLITE_INCLUDE OR NOT SQLITE_LIBRARY)
  list(APPEND WINNOW_MISSING "SQLite (Debian: libsqlite3-dev)")
endif()
if(WINNOW_MISSING)
  list(JOIN WINNOW_MISSING ", " missing)
  message(FATAL_ERROR "winnow needs ${missing}. On Debian and Ubuntu ./run installs them.")
endif()

add_library(winnow_dependencies INTERFACE)
target_include_directories(winnow_dependencies SYSTEM INTERFACE ${PTHREADPOOL_INCLUDE} ${CJSON_INCLUDE}
  ${SQLITE_INCLUDE})
target_link_libraries(winnow_dependencies INTERFACE
  ${PTHREADPOOL_LIBRARY} ${CJSON_LIBRARY} ${SQLITE_LIBRARY} Threads::Threads m ${CMAKE_DL_LIBS})

# stb comes as stb/stb_image.h or stb_image.h, depending on the system: both spellings are found.
get_filename_component(STB_PARENT ${STB_INCLUDE} DIRECTORY)
add_library(winnow_cli_dependencies INTERFACE)
target_include_directories(winnow_cli_dependencies SYSTEM INTERFACE ${STB_INCLUDE} ${STB_PARENT})
target_link_libraries(winnow_cli_dependencies INTERFACE m)

# --- LLVM: the shared library's C API, newest version known to work first ------------------------------------------------

set(WINNOW_HAVE_LLVM OFF)
set(LLVM_C_INCLUDE "")

function(winnow_try_llvm config)
  execute_process(COMMAND ${config} --version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET RESULT_VARIABLE failed)
  if(failed OR version VERSION_LESS 16)
    return()
  endif()
  execute_process(COMMAND ${config} --includedir OUTPUT_VARIABLE include OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND ${config} --libdir OUTPUT_VARIABLE libdir OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REGEX MATCH "^[0-9]+" major ${version})
  find_library(library NAMES LLVM-${major} LLVM PATHS ${libdir} NO_DEFAULT_PATH NO_CACHE)
  if(library AND EXISTS ${include}/llvm-c/Core.h)
    set(WINNOW_HAVE_LLVM ON PARENT_SCOPE)
    set(LLVM_C_INCLUDE ${include} PARENT_SCOPE)
    set(LLVM_C_LIBRARY ${library} PARENT_SCOPE)
    set(LLVM_C_VERSION ${version} PARENT_SCOPE)
  endif()
endfunction()

if(WINNOW_LLVM)
  foreach(name llvm-config-19 llvm-config-18 llvm-config-17 llvm-config-16 llvm-config-20 llvm-config-21 llvm-config)
    find_program(llvm_config ${name} NO_CACHE)
    if(llvm_config)
      winnow_try_llvm(${llvm_config})
    endif()
    unset(llvm_config)
    if(WINNOW_HAVE_LLVM)
      break()
    endif()
  endforeach()
endif()

if(WINNOW_HAVE_LLVM)
  message(STATUS "LLVM ${LLVM_C_VERSION}: ${LLVM_C_LIBRARY}")
  target_compile_definitions(winnow_dependencies INTERFACE WN_HAVE_LLVM=1)
  target_include_directories(winnow_dependencies SYSTEM INTERFACE ${LLVM_C_INCLUDE})
  target_link_libraries(winnow_dependencies INTERFACE ${LLVM_C_LIBRARY})
else()
  message(STATUS "no LLVM 16 or newer (Debian: llvm-19-dev): kernels go through the system C compiler")
endif()

# --- OpenCL: headers only; the ICD loader is opened at run time ---------------------------------------------------------

set(WINNOW_HAVE_OPENCL OFF)
if(WINNOW_OPENCL)
  find_path(OPENCL_INCLUDE NAMES CL/cl.h OpenCL/cl.h)
  if(OPENCL_INCLUDE)
    set(WINNOW_HAVE_OPENCL ON)
    target_compile_definitions(winnow_dependencies INTERFACE WN_HAVE_OPENCL=1)
    target_include_directories(winnow_dependencies SYSTEM INTERFACE ${OPENCL_INCLUDE})
  else()
    message(STATUS "no OpenCL headers (Debian: opencl-c-headers): no backend opencl")
  endif()
endif()

if(NOT WINNOW_HAVE_OPENCL)
  set(OPENCL_INCLUDE "")
endif()

set(WINNOW_SYSTEM_INCLUDES ${PTHREADPOOL_INCLUDE} ${STB_INCLUDE} ${STB_PARENT} ${CJSON_INCLUDE} ${SQLITE_INCLUDE}
  ${LLVM_C_INCLUDE} ${OPENCL_INCLUDE})
list(REMOVE_DUPLICATES WINNOW_SYSTEM_INCLUDES)
list(REMOVE_ITEM WINNOW_SYSTEM_INCLUDES /usr/include)
