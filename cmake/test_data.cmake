# Golden archives stay packed in the repository; they are unpacked once into the build folder. Tests compare with them, fuzz targets start
# from them.
foreach(archive models tokenizers)
  set(packed ${CMAKE_SOURCE_DIR}/tests/data/${archive}.tar.xz)
  set(stamp ${CMAKE_BINARY_DIR}/data/${archive}.stamp)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${packed})
  if(${packed} IS_NEWER_THAN ${stamp})
    file(ARCHIVE_EXTRACT INPUT ${packed} DESTINATION ${CMAKE_BINARY_DIR}/data)
    file(TOUCH ${stamp})
  endif()
endforeach()
