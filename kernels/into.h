#pragma once

namespace reel::kernels {

/// Where a kernel writes a result: the first contribution overwrites, later ones add.
/// An empty Into says that nobody wants the result; the kernel then leaves it out.
template <class T>
struct Into {
  T* data = nullptr;
  bool add = false;

  explicit operator bool() const { return data != nullptr; }
  void store(long i, T value) const { data[i] = add ? data[i] + value : value; }
};

}  // namespace reel::kernels
