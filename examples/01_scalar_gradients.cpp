// Lesson 1: a gradient of a function of numbers, and where it comes from.

#include <cstdio>
#include <iostream>

#include "autograd/autograd.h"

using namespace reel;

int main() {
  Tape tape;
  const auto step = tape.record();  // everything below lives until `step` ends

  const Tensor x = tape.variable(3.0);
  const Tensor y = tape.variable(4.0);
  const Tensor product = x * y;  // recorded on the tape, op by op
  const Tensor z = product + sin(x);

  tape.backward(z);  // plays the tape backwards

  std::printf("z     = x y + sin x = %.6f\n", z.item());
  std::printf("dz/dx = y + cos x   = %.6f\n", x.gradient()[0]);
  std::printf("dz/dy = x           = %.6f\n\n", y.gradient()[0]);

  tape.print(std::cout);  // the tape is no secret
}
