// Lesson 6: products with the Hessian, and Newton's method made of them.

#include <cstdio>

#include "autograd/autograd.h"

using namespace reel;

// Rosenbrock's valley: the minimum is at (1, 1), at the end of a curved valley.
Tensor rosenbrock(Tensors t) {
  const Tensor x = slice(t[0], 0, 0, 1);
  const Tensor y = slice(t[0], 0, 1, 2);
  return sum(square(1.0 - x) + 100.0 * square(y - x * x));
}

int main() {
  Array at{{2}, {-1.2, 1.0}};

  // H v by a backward pass on dual numbers, beside the difference of two gradients.
  const Array v{{2}, {1.0, 0.5}};
  const Arrays exact = hvp(rosenbrock, {at}, {v});
  const double h = 1e-5;
  const Arrays up =
      grad(rosenbrock, {{{2}, {at.values[0] + h * v.values[0], at.values[1] + h * v.values[1]}}});
  const Arrays down =
      grad(rosenbrock, {{{2}, {at.values[0] - h * v.values[0], at.values[1] - h * v.values[1]}}});
  for (std::size_t i = 0; i < 2; ++i) {
    std::printf("(H v)_%zu   exact %10.4f   by differences %10.4f\n", i, exact[0].values[i],
                (up[0].values[i] - down[0].values[i]) / (2 * h));
  }

  // Newton: two products give the whole 2x2 Hessian.
  std::printf("\nstep        x          y       f\n");
  for (int step = 0; step <= 6; ++step) {
    const double f = evaluate(rosenbrock, {at}).values[0];
    std::printf("%4d %10.6f %10.6f   %.2e\n", step, at.values[0], at.values[1], f);
    const Arrays g = grad(rosenbrock, {at});
    const Arrays a = hvp(rosenbrock, {at}, {{{2}, {1, 0}}});
    const Arrays b = hvp(rosenbrock, {at}, {{{2}, {0, 1}}});
    const double determinant = a[0].values[0] * b[0].values[1] - b[0].values[0] * a[0].values[1];
    at.values[0] -= (b[0].values[1] * g[0].values[0] - b[0].values[0] * g[0].values[1]) / determinant;
    at.values[1] -= (a[0].values[0] * g[0].values[1] - a[0].values[1] * g[0].values[0]) / determinant;
  }
}
