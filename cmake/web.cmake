# Target infernum_web: the chat page of src/server/web, built by npm in the build tree and embedded as one source (src/server/web_files.h).
# INFERNUM_WEB: `on` needs npm, `off` embeds a page that says what is missing, `auto` takes what there is.

# As a script: cmake -DNPM=... -P web.cmake runs `npm ci` where it stands and says what to do when it fails.
if(CMAKE_SCRIPT_MODE_FILE)
  execute_process(COMMAND ${NPM} ci --include=dev --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error
                  RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "npm ci failed (${status}). It needs the npm registry or a filled npm cache; "
                        "configure with -DINFERNUM_WEB=off to build without the chat page.")
  endif()
  return()
endif()

set(INFERNUM_WEB auto CACHE STRING "embed the chat page: auto (where npm is found), on or off")
set_property(CACHE INFERNUM_WEB PROPERTY STRINGS auto on off)
string(TOLOWER "${INFERNUM_WEB}" web_choice)
if(NOT web_choice MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "INFERNUM_WEB is '${INFERNUM_WEB}'; it may be auto, on or off")
endif()

set(INFERNUM_WEB_REASON "")
if(web_choice STREQUAL "off")
  set(INFERNUM_WEB_REASON "INFERNUM_WEB was off")
else()
  find_program(INFERNUM_NPM npm)
  find_program(INFERNUM_NODE NAMES node nodejs)
  mark_as_advanced(INFERNUM_NPM INFERNUM_NODE)
  if(NOT INFERNUM_NPM OR NOT INFERNUM_NODE)
    set(INFERNUM_WEB_REASON "npm was not found")
  else()
    execute_process(COMMAND ${INFERNUM_NODE} --version OUTPUT_VARIABLE node_version OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REGEX REPLACE "^v" "" node_version "${node_version}")
    if(node_version VERSION_LESS 18)
      set(INFERNUM_WEB_REASON "Node.js is ${node_version}, and 18 is the oldest that builds it")
    endif()
  endif()
  if(INFERNUM_WEB_REASON AND web_choice STREQUAL "on")
    message(FATAL_ERROR "INFERNUM_WEB is on, but ${INFERNUM_WEB_REASON}")
  endif()
endif()

set(web_source ${CMAKE_SOURCE_DIR}/src/server/web)
set(web_build ${CMAKE_BINARY_DIR}/web)
set(web_files ${web_build}/web_files.cpp)
file(MAKE_DIRECTORY ${web_build})
if(INFERNUM_WEB_REASON)
  message(STATUS "The chat page is not built: ${INFERNUM_WEB_REASON}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${web_source}/not_built.cpp.in)
  file(READ ${web_source}/not_built.cpp.in web_text)
  string(SHA256 INFERNUM_WEB_HASH "${web_text}${INFERNUM_WEB_REASON}")
  string(SUBSTRING ${INFERNUM_WEB_HASH} 0 16 INFERNUM_WEB_HASH)
  set(web_files ${web_build}/not_built.cpp)
  configure_file(${web_source}/not_built.cpp.in ${web_files} @ONLY)
else()
  # The sources are copied, so that npm writes nothing beside them; each preset has its own copy.
  set(web_manifests ${web_source}/.npmrc ${web_source}/package.json ${web_source}/package-lock.json)
  set(web_tools ${web_source}/embed.mjs ${web_source}/favicon.svg ${web_source}/index.html ${web_source}/tsconfig.json
      ${web_source}/unit_tests.mjs ${web_source}/vite.config.ts)
  file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${web_source}/src/*)
  add_custom_command(OUTPUT ${web_build}/installed.stamp
    COMMAND ${CMAKE_COMMAND} -E copy ${web_manifests} ${web_build}
    COMMAND ${CMAKE_COMMAND} -DNPM=${INFERNUM_NPM} -P ${CMAKE_CURRENT_LIST_FILE}
    COMMAND ${CMAKE_COMMAND} -E touch ${web_build}/installed.stamp
    DEPENDS ${web_manifests} WORKING_DIRECTORY ${web_build}
    COMMENT "Installing what builds the chat page (npm ci)" VERBATIM)
  add_custom_command(OUTPUT ${web_files}
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${web_build}/src
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${web_source}/src ${web_build}/src
    COMMAND ${CMAKE_COMMAND} -E copy ${web_tools} ${web_build}
    COMMAND ${INFERNUM_NPM} run --silent build -- --logLevel warn
    COMMAND ${INFERNUM_NODE} embed.mjs dist ${web_files}
    DEPENDS ${web_build}/installed.stamp ${web_sources} ${web_tools} WORKING_DIRECTORY ${web_build}
    COMMENT "Building the chat page" VERBATIM)
endif()

add_library(infernum_web STATIC ${web_files})
target_link_libraries(infernum_web PUBLIC infernum_flags)
