#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the program when a reader breaks a promise that an exception cannot tell.
#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)
