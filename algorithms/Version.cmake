# The version of this tree, made of Git's tags as pyproject.toml tells hatch-vcs to:
#
# K4CALOFAST_VERSION          as Python says it: 0.3.0 on the tag v0.3.0, 0.3.1.dev2+g1a2b3c4 two commits later
# K4CALOFAST_VERSION_NUMBERS  its leading numbers, for CMake
#
# Tarballs of the repository say it in .git_archival.txt. Other copies without Git's folder have the version
# that their Python package was built as, or 0.0. `cmake -P algorithms/Version.cmake` prints the version.
cmake_minimum_required(VERSION 3.24)

function(k4calofast_version result)
  cmake_path(GET CMAKE_CURRENT_FUNCTION_LIST_DIR PARENT_PATH tree)
  set(version "0.0")
  find_program(K4CALOFAST_GIT git)
  mark_as_advanced(K4CALOFAST_GIT)
  set(described "")
  set(dirty "")
  if(K4CALOFAST_GIT AND EXISTS "${tree}/.git")
    execute_process(COMMAND "${K4CALOFAST_GIT}" describe --dirty --tags --long --always --match "v[0-9]*"
                    WORKING_DIRECTORY "${tree}" OUTPUT_VARIABLE described
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  elseif(EXISTS "${tree}/.git_archival.txt")
    file(STRINGS "${tree}/.git_archival.txt" line REGEX "^describe-name: v")
    if(line MATCHES ": (v.*-g[0-9a-f]+)$")
      set(described "${CMAKE_MATCH_1}")
    elseif(line MATCHES ": (v.*)$")
      set(described "${CMAKE_MATCH_1}-0-g0")
    endif()
  endif()
  if(described MATCHES "^v(.*)-([0-9]+)-(g[0-9a-f]+)(-dirty)?$")
    set(version "${CMAKE_MATCH_1}")
    set(after "${CMAKE_MATCH_2}")
    set(local "${CMAKE_MATCH_3}")
    set(dirty "${CMAKE_MATCH_4}")
    if(NOT after EQUAL 0 OR dirty)
      # It leads to the next release: the last number is one more.
      string(REGEX MATCH "[0-9]+$" last "${version}")
      string(REGEX REPLACE "[0-9]+$" "" version "${version}")
      math(EXPR last "${last} + 1")
      set(version "${version}${last}.dev${after}+${local}")
    endif()
  elseif(described MATCHES "^([0-9a-f]+)(-dirty)?$")
    set(local "g${CMAKE_MATCH_1}")
    set(dirty "${CMAKE_MATCH_2}")
    execute_process(COMMAND "${K4CALOFAST_GIT}" rev-list --count HEAD WORKING_DIRECTORY "${tree}"
                    OUTPUT_VARIABLE after OUTPUT_STRIP_TRAILING_WHITESPACE)
    set(version "0.1.dev${after}+${local}")
  elseif(EXISTS "${tree}/k4calofast/_version.py")
    file(STRINGS "${tree}/k4calofast/_version.py" line REGEX "^__version__")
    string(REGEX REPLACE ".*\"(.*)\".*" "\\1" version "${line}")
  endif()
  if(dirty)
    string(TIMESTAMP today "%Y%m%d" UTC)
    string(APPEND version ".d${today}")
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

k4calofast_version(K4CALOFAST_VERSION)
string(REGEX MATCH "^[0-9]+(\\.[0-9]+)*" K4CALOFAST_VERSION_NUMBERS "${K4CALOFAST_VERSION}")
if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  message("${K4CALOFAST_VERSION}")
endif()
