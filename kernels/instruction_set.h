#pragma once

namespace reel::kernels {

/// What this library was compiled for: "native (AVX-512)" in a build for the machine that built it, the level
/// of x86-64 such as "x86-64-v3" in a portable build, where the loader chose it. Bits of results depend on
/// it.
const char* instruction_set();

}  // namespace reel::kernels
