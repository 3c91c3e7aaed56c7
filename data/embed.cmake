# reel_embed(target FILE name [header]): compiles a file into the target as the std::string_view `name`, which the header declares
# in the namespace of its folder: data/embedded.h, the default, has reel::data::embedded.
function(reel_embed target file name)
  set(header data/embedded.h)
  if(ARGC GREATER 3)
    set(header ${ARGV3})
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  get_filename_component(folder ${header} DIRECTORY)
  set(source ${PROJECT_BINARY_DIR}/embedded/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"

namespace reel::${folder}::embedded {
namespace {
const unsigned char bytes[] = {
${bytes}};
}
const std::string_view ${name}(reinterpret_cast<const char*>(bytes), sizeof bytes);
}
")
  target_sources(${target} PRIVATE ${source})
endfunction()
