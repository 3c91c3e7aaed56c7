#include "kernels/instruction_set.h"

#include <string_view>

#if defined(__x86_64__) && defined(__linux__)
#include <unistd.h>
#endif

namespace reel::kernels {
namespace {

#if defined(__AVX512F__)
#define REEL_VECTORS "AVX-512"
#elif defined(__AVX2__) && defined(__FMA__)
#define REEL_VECTORS "AVX2"
#elif defined(__x86_64__)
#define REEL_VECTORS "SSE"
#else
#define REEL_VECTORS "128-bit vectors"
#endif

#if defined(__x86_64__) && defined(__linux__)
// The first of the instructions that this library was compiled for and the processor does not have.
__attribute__((target("arch=x86-64"))) const char* missing_instructions() {
  __builtin_cpu_init();
#if defined(__AVX512F__)
  if (__builtin_cpu_supports("avx512f") == 0) return "AVX-512F";
#endif
#if defined(__AVX512BW__)
  if (__builtin_cpu_supports("avx512bw") == 0) return "AVX-512BW";
#endif
#if defined(__AVX512DQ__)
  if (__builtin_cpu_supports("avx512dq") == 0) return "AVX-512DQ";
#endif
#if defined(__AVX512VL__)
  if (__builtin_cpu_supports("avx512vl") == 0) return "AVX-512VL";
#endif
#if defined(__AVX2__)
  if (__builtin_cpu_supports("avx2") == 0) return "AVX2";
#endif
#if defined(__FMA__)
  if (__builtin_cpu_supports("fma") == 0) return "FMA";
#endif
#if defined(__SSE4_2__)
  if (__builtin_cpu_supports("sse4.2") == 0) return "SSE4.2";
#endif
  return nullptr;
}

__attribute__((target("arch=x86-64"))) void say(const char* text) {
  std::size_t length = 0;
  while (text[length] != '\0') ++length;
  if (write(STDERR_FILENO, text, length) < 0) _exit(1);
}

// Runs before every other initialiser, which may already hold instructions that this processor does not know:
// a sentence instead of a crash.
__attribute__((constructor(101), target("arch=x86-64"))) void check_processor() {
  const char* missing = missing_instructions();
  if (missing == nullptr) return;
  say("reel: this build is for processors with ");
  say(missing);
  say(", which this one does not have; build Reel here, or with cmake -D REEL_NATIVE=OFF\n");
  _exit(1);
}
#endif

}  // namespace

const char* instruction_set() {
  static constexpr bool native = std::string_view(REEL_INSTRUCTION_SET) == "native";
  return native ? REEL_INSTRUCTION_SET " (" REEL_VECTORS ")" : REEL_INSTRUCTION_SET;
}

const char* compiler() {
#if defined(__clang__)
  return "clang++ " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "an unknown compiler";
#endif
}

}  // namespace reel::kernels
