# cmake -DOUT=header -DNAMES=a;b -Da=files -Db=files -P embed.cmake: each name as an array of the bytes of its files, one
# behind the other, with a 0 after them. Arrays, since a string literal longer than 4095 characters is not portable.
set(text "/* Written by cmake/embed.cmake. */\n")
foreach(name ${NAMES})
  set(bytes "")
  foreach(file ${${name}})
    file(READ ${file} hex HEX)
    string(APPEND bytes ${hex})
  endforeach()
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "static const unsigned char ${name}[] = {\n${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
