#include "autograd/context.h"

#include <algorithm>

#include "autograd/broadcast.h"
#include "autograd/tape.h"

namespace reel {

template <class T>
Products Context<T>::products() const {
  return tape_->products();
}

template <class T>
T* Context<T>::save(std::int64_t count) {
  if (saved_ != nullptr) {
    refuse("its card calls save() twice, and backward would find the last block alone",
           "save one block in forward, large enough for all");
  }
  T* memory = tape_->values_.template allocate<T>(count);  // never null, also for nothing
  saved_ = memory;
  return memory;
}

template <class T>
T* Context<T>::scratch(std::int64_t count) {
  return tape_->scratch_.template allocate<T>(count);
}

template <class T>
T* Context<T>::dy_to_change() {
  if (spare_dy_ == nullptr) {
    spare_dy_ = scratch(size_y_);
    std::copy_n(dy_, size_y_, spare_dy_);
  }
  return spare_dy_;
}

template <class T>
void Context<T>::sum_to_y(const Shape& kept) const {
  if (shape() == kept) {
    std::copy_n(x(), size_y_, y_);
  } else {
    unstretch<T>(x(), kept, shape(), {y_, false}, tape_->scratch_);
  }
}

template <class T>
kernels::Source<T> Context<T>::stretched_upstream(const Shape& kept) const {
  auto* stretch = tape_->scratch_.template allocate<kernels::Stretch>(1);
  *stretch = stretch_over(kept, shape());
  return {dy_, stretch};
}

// Errors are those of the call that the op was recorded with.
template <class T>
template <class Work>
void Context<T>::as_call(Work work) const {
  Here inputs[8] = {Tensor{}, Tensor{}, Tensor{}, Tensor{}, Tensor{}, Tensor{}, Tensor{}, Tensor{}};
  const int count = inputs_ < 8 ? inputs_ : 8;
  for (int i = 0; i < count; ++i) inputs[i] = Here(tape_->handle(input_nodes_[i]));
  work(Call(*node_->op, {inputs, static_cast<std::size_t>(count)}, nodes_, input_nodes_, node_->options,
            node_->options_type, node_->place()));
  __builtin_unreachable();
}

template <class T>
void Context<T>::refuse(const std::string& reason, const std::string& help) const {
  as_call([&](const Call& call) { call.refuse(reason, help); });
}
template <class T>
void Context<T>::refuse_input(int i) const {
  as_call([&](const Call& call) { call.refuse_input(i); });
}
template <class T>
void Context<T>::refuse_saved() const {
  refuse("its card reads saved(), but its forward has saved nothing", "call save() in forward");
}
template <class T>
void Context<T>::refuse_options() const {
  as_call([&](const Call& call) { call.refuse_options(); });
}

template class Context<float>;
template class Context<double>;
template class Context<Dual>;

}  // namespace reel
