#pragma once

namespace reel::kernels {

/// What this library was compiled for: "native (AVX-512)" in a build for the machine that built it, the level
/// of x86-64 such as "x86-64-v3" in a portable build, where the loader chose it. Bits of results depend on
/// it.
const char* instruction_set();

/// The compiler of this library and its version, such as "g++ 12.2.0": bits of results depend on it, too.
const char* compiler();

}  // namespace reel::kernels
