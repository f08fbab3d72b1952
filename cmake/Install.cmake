# The shared library, the public headers, a pkg-config file and a CMake package: find_package(winnow), winnow::winnow.
include(CMakePackageConfigHelpers)

install(TARGETS winnow_shared EXPORT winnow_targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/winnow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

# Where man, and the completion of each shell, look.
install(DIRECTORY ${WINNOW_PAGES}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(FILES ${WINNOW_PAGES}/winnow DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${WINNOW_PAGES}/_winnow DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${WINNOW_PAGES}/winnow.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

# winnow bench --peers: found from the program as ../share/winnow/peers.
install(DIRECTORY bench/peers DESTINATION ${CMAKE_INSTALL_DATADIR}/winnow FILES_MATCHING PATTERN "*.py" PATTERN "*.cpp"
  PATTERN "__pycache__" EXCLUDE)
install(PROGRAMS tools/peers DESTINATION ${CMAKE_INSTALL_DATADIR}/winnow/tools)

# Relative to where the .pc file lies, so that `cmake --install build --prefix anywhere` is right.
file(RELATIVE_PATH pc_to_prefix /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
configure_file(cmake/winnow.pc.in winnow.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/winnow.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/winnow)
install(EXPORT winnow_targets NAMESPACE winnow:: FILE winnow-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/winnow-config.cmake.in winnow-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(winnow-config-version.cmake COMPATIBILITY ${WINNOW_COMPATIBILITY})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/winnow-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/winnow-config-version.cmake
  DESTINATION ${package_dir})
