# What `cmake --install` puts where. Nothing installed knows its prefix, so the tree may be moved as a whole:
# bin/infernum finds the bundled model at ../share/infernum/models beside itself.
install(DIRECTORY models/storyteller DESTINATION ${CMAKE_INSTALL_DATADIR}/infernum/models)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
