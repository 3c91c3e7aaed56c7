#pragma once

#include "autograd/parameter.h"
#include "nn/module.h"

// Initial values. The numbers follow from the seed and the parameter's path, not from the order in which
// parameters are made. Fans are PyTorch's: of [out, in, ...], fan_in is in times what follows, fan_out is out
// times what follows; where they are needed, fewer than two dimensions are a ShapeError, and a negative gain
// a ValueError.

namespace reel::nn::init {

void constant(Parameter p, double value);
inline void zeros(Parameter p) { constant(p, 0); }
inline void ones(Parameter p) { constant(p, 1); }

/// Uniform in [low, high), but for the rounding to float, which may give high. Throws ValueError for low >
/// high, and for a bound that is not finite as a float.
void uniform(Parameter p, Seed seed, double low, double high, Place place = Place::here());
/// Throws ValueError for a negative deviation, and for a mean or a deviation that is not finite as a float.
void normal(Parameter p, Seed seed, double mean = 0, double deviation = 1, Place place = Place::here());
/// Normal, restricted to mean +- `bound` deviations: what falls outside is drawn again. Throws ValueError for
/// what normal() refuses, and for a bound that is not positive.
void truncated_normal(Parameter p, Seed seed, double mean = 0, double deviation = 1, double bound = 2,
                      Place place = Place::here());

/// Variance gain^2 / fan_in; gain sqrt(2) suits relu (He, Zhang, Ren, Sun 2015). These and the next two throw
/// ShapeError for fewer than two dimensions, and ValueError for a gain that is negative or not finite as a
/// float.
void kaiming_uniform(Parameter p, Seed seed, double gain = 1.4142135623730951, Place place = Place::here());
void kaiming_normal(Parameter p, Seed seed, double gain = 1.4142135623730951, Place place = Place::here());
/// Variance 2 gain^2 / (fan_in + fan_out) (Glorot, Bengio 2010).
void xavier_uniform(Parameter p, Seed seed, double gain = 1, Place place = Place::here());
void xavier_normal(Parameter p, Seed seed, double gain = 1, Place place = Place::here());
/// Rows or columns, whichever are fewer, become orthonormal, times gain (Saxe, McClelland, Ganguli 2014).
/// Throws as those above.
void orthogonal(Parameter p, Seed seed, double gain = 1, Place place = Place::here());

}  // namespace reel::nn::init
