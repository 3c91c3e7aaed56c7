#include "kernels/softmax.h"

#include <algorithm>
#include <atomic>
#include <iostream>

#include "autograd/ops/rules.h"
#include "kernels/reduce.h"

namespace reel {
namespace {

struct Labels {
  const std::int32_t* label;
  std::int64_t count;
  std::int32_t ignore_index;
  double label_smoothing;
  Reduction reduction;
  std::int64_t counted;  // rows that are not ignored
};

Shape reduced_shape(const Shape& rows, Reduction reduction) {
  return reduction == Reduction::none ? rows : Shape{};
}

// What each row's loss is multiplied by: 1, or one part of the mean.
double row_factor(Reduction reduction, std::int64_t rows) {
  if (reduction != Reduction::mean) return 1;
  return rows == 0 ? 0 : 1.0 / static_cast<double>(rows);
}
double row_factor(const Labels& l) { return row_factor(l.reduction, l.counted); }

void check_smoothing(const Call& c, double smoothing) {
  if (!(smoothing >= 0 && smoothing <= 1))
    c.refuse("label smoothing " + short_number(smoothing) + " is not in [0, 1]");
}

Shape labelled_rows(const Call& c) {
  const Labels& l = c.options<Labels>();
  if (c[0].rank() == 0 || c[0].back() == 0) c.fail("the last dimension must hold one number per class");
  const std::int64_t classes = c[0].back();
  if (l.count != c[0].rows()) {
    c.fail(std::to_string(l.count) + " labels for " + std::to_string(c[0].rows()) + " rows",
           "give one label per row");
  }
  check_smoothing(c, l.label_smoothing);
  for (std::int64_t i = 0; i < l.count; ++i) {
    if (l.label[i] == l.ignore_index || (l.label[i] >= 0 && l.label[i] < classes)) continue;
    c.refuse("label " + std::to_string(l.label[i]) + " of row " + std::to_string(i) + " is not a class",
             "classes run from 0 to " + std::to_string(classes - 1) + "; rows with the label " +
                 std::to_string(l.ignore_index) + " are ignored");
  }
  return reduced_shape(c[0].slice(0, c[0].rank() - 1), l.reduction);
}

// y = the rows' losses, or their weighted sum.
template <class C, class T>
void reduce_rows(C& c, const T* row_loss, std::int64_t rows, Reduction reduction, double factor) {
  if (reduction == Reduction::none) {
    std::copy_n(row_loss, rows, c.y());
  } else {
    *c.y() = kernels::sum(row_loss, rows) * c.scalar(factor);
  }
}

// The gradient that arrives at each row's loss.
template <class C>
auto row_gradients(C& c, std::int64_t rows, Reduction reduction, double factor) {
  auto* scale = c.scratch(rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    scale[i] = (reduction == Reduction::none ? c.dy()[i] : c.dy()[0]) * c.scalar(factor);
  }
  return scale;
}

kernels::CrossEntropy kernel_arguments(const Labels& l, const Shape& logits) {
  return {.rows = logits.rows(),
          .cols = logits.back(),
          .labels = l.label,
          .ignore_index = l.ignore_index,
          .label_smoothing = l.label_smoothing};
}

const std::int32_t some_labels[] = {2, 0, -100, 1};

const Op& cross_entropy_op = define({
    .name = "cross_entropy",
    .formula = "t = (1 - s) onehot(label) + s / classes;  l = -sum t log softmax(z);  dz = (softmax(z) - t) dl",
    .inputs = {"logits"},
    .shape = {"cross_entropy", labelled_rows},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const Labels& l = c.template options<Labels>();
          const std::int64_t rows = c.shape().rows();
          auto* loss = c.scratch(rows);
          auto* kept = c.save(2 * rows);
          refuse_empty_row(c, kernels::cross_entropy(kernel_arguments(l, c.shape()), c.x(), loss, kept));
          reduce_rows(c, loss, rows, l.reduction, row_factor(l));
        },
    .backward =
        [](auto& c) {
          const Labels& l = c.template options<Labels>();
          const auto* scale = row_gradients(c, c.shape().rows(), l.reduction, row_factor(l));
          kernels::cross_entropy_grad(kernel_arguments(l, c.shape()), c.x(), c.saved(), scale, c.dx());
        },
    .samples = {on({4, 3}).call([](Tensors x) { return cross_entropy(x[0], some_labels); }),
                on({4, 3}).call([](Tensors x) {
                  return cross_entropy(x[0], some_labels,
                                       {.label_smoothing = 0.1, .reduction = Reduction::sum});
                }),
                on({2, 2, 3}).call([](Tensors x) {
                  return cross_entropy(x[0], some_labels,
                                       {.label_smoothing = 0.3, .reduction = Reduction::none});
                })},
});

const Op& nll_op = define({
    .name = "nll",
    .formula = "l = -x_label;  dx = -onehot(label) dl",
    .inputs = {"log_probabilities"},
    .shape = {"cross_entropy", labelled_rows},
    .forward =
        [](auto& c) {
          const Labels& l = c.template options<Labels>();
          const std::int64_t rows = c.shape().rows();
          auto* loss = c.scratch(rows);
          for (std::int64_t i = 0; i < rows; ++i) {
            loss[i] = l.label[i] == l.ignore_index ? c.scalar(0) : -c.x()[i * c.shape().back() + l.label[i]];
          }
          reduce_rows(c, loss, rows, l.reduction, row_factor(l));
        },
    .backward =
        [](auto& c) {
          const Labels& l = c.template options<Labels>();
          const std::int64_t rows = c.shape().rows();
          const std::int64_t cols = c.shape().back();
          const auto* scale = row_gradients(c, rows, l.reduction, row_factor(l));
          const auto dx = c.dx();
          if (!dx.add) std::fill_n(dx.data, rows * cols, c.scalar(0));
          for (std::int64_t i = 0; i < rows; ++i) {
            if (l.label[i] != l.ignore_index) dx.data[i * cols + l.label[i]] -= scale[i];
          }
        },
    .samples = {on({4, 3}).call([](Tensors x) { return nll(x[0], some_labels); }),
                on({4, 3}).call(
                    [](Tensors x) { return nll(x[0], some_labels, {.reduction = Reduction::none}); })},
});

struct Smoothed {
  double label_smoothing;
  Reduction reduction;
};

const Op& soft_cross_entropy_op = define({
    .name = "soft_cross_entropy",
    .formula = "t = (1 - s) p + s / classes;  l = -sum t log softmax(z);  dz = (softmax(z) sum t - t) dl,  "
               "dp = -(1 - s) log softmax(z) dl",
    .inputs = {"logits", "probabilities"},
    .shape = {"cross_entropy",
              [](const Call& c) {
                if (c[0].rank() == 0 || c[0].back() == 0)
                  c.fail("the last dimension must hold one number per class");
                if (!(c[0] == c[1])) c.fail("logits and probabilities must have one shape");
                const Smoothed& s = c.options<Smoothed>();
                check_smoothing(c, s.label_smoothing);
                return reduced_shape(c[0].slice(0, c[0].rank() - 1), s.reduction);
              }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const Smoothed& s = c.template options<Smoothed>();
          const std::int64_t rows = c.shape().rows();
          const std::int64_t cols = c.shape().back();
          auto* loss = c.scratch(rows);
          auto* kept = c.save(2 * rows);
          refuse_empty_row(
              c, kernels::soft_cross_entropy(c.x(0), c.x(1), rows, cols, s.label_smoothing, loss, kept));
          reduce_rows(c, loss, rows, s.reduction, row_factor(s.reduction, rows));
        },
    .backward =
        [](auto& c) {
          const Smoothed& s = c.template options<Smoothed>();
          const std::int64_t rows = c.shape().rows();
          const auto* scale = row_gradients(c, rows, s.reduction, row_factor(s.reduction, rows));
          kernels::soft_cross_entropy_grad(c.x(0), c.x(1), rows, c.shape().back(), s.label_smoothing,
                                           c.saved(), scale, c.dx(0), c.dx(1));
        },
    .samples = {on({4, 3}, {4, 3}).between(0.1, 0.8).call([](Tensors x) {
                  return cross_entropy(x[0], x[1]);
                }),
                on({4, 3}, {4, 3}).call([](Tensors x) {
                  return cross_entropy(x[0], x[1], {.label_smoothing = 0.2, .reduction = Reduction::none});
                })},
});

// No error, since the last batch of a masked set may be like that; but most likely a mistake.
void warn_once(const Place& place, std::string_view op, std::int32_t ignore_index) {
  static std::atomic<bool> said = false;
  if (said.exchange(true)) return;
  std::cerr << std::string(place.file) + ":" + std::to_string(place.line) + ": warning: " +
                   std::string(op) + ": every label is " + std::to_string(ignore_index) +
                   ", which is ignored: loss and gradient are 0 (said once)\n";
}

Labels labels_of(Here x, const Op& op, std::span<const std::int32_t> labels,
                 const CrossEntropyOptions& options) {
  const auto kept = keep({x}, labels);
  const auto ignored = std::count(kept.begin(), kept.end(), options.ignore_index);
  const auto count = static_cast<std::int64_t>(kept.size());
  if (count > 0 && ignored == count) warn_once(x.place, op.name, options.ignore_index);
  return {kept.data(),       count,          options.ignore_index, options.label_smoothing,
          options.reduction, count - ignored};
}

}  // namespace

Tensor cross_entropy(Here logits, std::span<const std::int32_t> labels, CrossEntropyOptions options) {
  return record(cross_entropy_op, {logits}, labels_of(logits, cross_entropy_op, labels, options));
}
Tensor cross_entropy(Here logits, Here probabilities, SoftCrossEntropyOptions options) {
  return record(soft_cross_entropy_op, {logits, probabilities},
                Smoothed{options.label_smoothing, options.reduction});
}
Tensor nll(Here log_probabilities, std::span<const std::int32_t> labels, NllOptions options) {
  return record(nll_op, {log_probabilities},
                labels_of(log_probabilities, nll_op, labels,
                          {.ignore_index = options.ignore_index, .reduction = options.reduction}));
}

}  // namespace reel
