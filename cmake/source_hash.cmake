# cmake -DOUT=header -DFILES=a;b -P source_hash.cmake: writes WN_SOURCE_HASH, a hash of the files, where it has changed.
set(all "")
foreach(file ${FILES})
  file(SHA256 ${file} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 32 hash)
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define WN_SOURCE_HASH \"${hash}\"\n" @ONLY)
