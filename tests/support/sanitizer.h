#pragma once

/// Whether the build puts AddressSanitizer or ThreadSanitizer beside the program: they take memory and stack
/// of their own. g++ says so in one way, clang in another.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REEL_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REEL_HAS_SANITIZER 1
#endif
#endif
#ifndef REEL_HAS_SANITIZER
#define REEL_HAS_SANITIZER 0
#endif
