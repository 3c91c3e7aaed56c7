# What processor the library is for: the one of this machine (REEL_NATIVE), the one that REEL_ARCH names, or any
# x86-64: with SSE2 alone in builds that look for mistakes, with SSE 4.2 and more in a release. For that the
# library is built three times, as a shared one, and the dynamic loader takes the best that the processor runs
# (glibc 2.33 or newer; an older one takes x86-64-v2):
#
#     lib/libreel.so                             x86-64-v2: SSE 4.2
#     lib/glibc-hwcaps/x86-64-v3/libreel.so      AVX2 and FMA
#     lib/glibc-hwcaps/x86-64-v4/libreel.so      AVX-512
#
# The whole library, since much of its work is in templates and lambdas of the op cards. Programs find it beside
# themselves ($ORIGIN) and are compiled for any x86-64; a function that both contain, from a header say, exists
# in each, and -Bsymbolic-functions keeps the library to its own.

set(reel_tiers FALSE)
if(REEL_NATIVE)
  target_compile_options(reel_flags INTERFACE -march=native)
  set(instruction_set native)
elseif(REEL_ARCH)
  target_compile_options(reel_flags INTERFACE "-march=${REEL_ARCH}")
  set(instruction_set "${REEL_ARCH}")
elseif(REEL_SANITIZE OR REEL_FUZZ OR REEL_COVERAGE OR NOT CMAKE_BUILD_TYPE MATCHES "^Rel"
    OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(instruction_set "${CMAKE_SYSTEM_PROCESSOR}")
else()
  set(reel_tiers TRUE)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(reel_flags INTERFACE -mprefer-vector-width=512)
endif()

if(NOT reel_tiers)
  reel_layers("${instruction_set}" "")
  add_library(reel STATIC)
  target_link_libraries(reel PUBLIC reel_kernels reel_autograd reel_nn reel_data ${reel_libraries})
  return()
endif()

set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
function(reel_tier level target folder)
  reel_layers(x86-64-${level} _${level} -march=x86-64-${level} -fno-semantic-interposition -ftls-model=initial-exec)
  foreach(layer kernels autograd nn data)
    set_target_properties(reel_${layer}_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endforeach()
  add_library(${target} SHARED)
  target_link_libraries(${target} PRIVATE reel_kernels_${level} reel_autograd_${level} reel_nn_${level}
    reel_data_${level} PUBLIC ${reel_libraries} reel_flags)
  target_link_options(${target} PRIVATE -Wl,-Bsymbolic-functions)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME reel LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
  install(TARGETS ${target} LIBRARY DESTINATION ${folder})
endfunction()
reel_tier(v2 reel lib)
reel_tier(v3 reel_v3 lib/glibc-hwcaps/x86-64-v3)
reel_tier(v4 reel_v4 lib/glibc-hwcaps/x86-64-v4)
add_dependencies(reel reel_v3 reel_v4)

# Whoever asks for a layer gets the library.
foreach(layer kernels autograd nn data)
  add_library(reel_${layer} INTERFACE)
  target_link_libraries(reel_${layer} INTERFACE reel)
endforeach()
