# reel_embed(target FILE name): compiles a file into the target as reel::data::embedded::name (a std::string_view).
function(reel_embed target file name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  set(source ${PROJECT_BINARY_DIR}/embedded/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"data/embedded.h\"

namespace reel::data::embedded {
namespace {
const unsigned char bytes[] = {
${bytes}};
}
const std::string_view ${name}(reinterpret_cast<const char*>(bytes), sizeof bytes);
}
")
  target_sources(${target} PRIVATE ${source})
endfunction()
