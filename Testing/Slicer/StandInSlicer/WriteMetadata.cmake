# What Slicer packs as the extension's description, for the tests to read.
set(metadata "NAME=${PROJECT_NAME}\nVERSION=${${PROJECT_NAME}_VERSION}\n")
foreach(field HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  string(APPEND metadata "${field}=${EXTENSION_${field}}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/metadata.txt "${metadata}")
