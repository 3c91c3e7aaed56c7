#include "nn/clip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "autograd/error.h"
#include "tests/nn/three_parameters.h"

namespace reel::nn {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(Clip, NormCountsOnlyParametersWithGradients) {
  Model model;
  EXPECT_EQ(gradient_norm(model.block), 0);
  for (float& g : model.block.gradients(1)) g = 100;
  model.fill_gradient(0, 2);
  model.fill_gradient(2, 1);
  EXPECT_DOUBLE_EQ(gradient_norm(model.block), std::sqrt(5 * 4 + 8.0));
  EXPECT_EQ(first_non_finite_gradient(model.block), -1);
  model.block.gradients(1)[0] = infinity;
  EXPECT_EQ(first_non_finite_gradient(model.block), -1);
  model.block.gradients(2)[3] = infinity;
  EXPECT_EQ(first_non_finite_gradient(model.block), 2);
}

TEST(Clip, NormIsLimitedOnlyIfItIsLarger) {
  Model model;
  model.fill_gradient(0, 3);
  model.block.gradients(1)[0] = 7;
  const double norm = 3 * std::sqrt(5.0);
  EXPECT_DOUBLE_EQ(clip_grad_norm(model.block, 100), norm);
  EXPECT_EQ(model.block.gradients(0)[0], 3.0F);
  EXPECT_DOUBLE_EQ(clip_grad_norm(model.block, 1.5), norm);
  EXPECT_FLOAT_EQ(model.block.gradients(0)[4], static_cast<float>(3 * 1.5 / (norm + 1e-6)));
  EXPECT_EQ(model.block.gradients(1)[0], 7.0F);
  EXPECT_DOUBLE_EQ(clip_factor(1e-6, 1e-7), 0.05);  // PyTorch's 1e-6 in the denominator
  EXPECT_THROW(clip_grad_norm(model.block, 0), ValueError);
  EXPECT_THROW(clip_grad_norm(model.block, std::nan("")), ValueError);
}

TEST(Clip, HugeGradientsDoNotOverflowAndInfiniteOnesStay) {
  ParameterBlock block;
  block.add("w", Shape({128}), true);
  for (float& g : block.gradients(0)) g = 1e19F;
  block.entry(0).has_gradient = true;
  EXPECT_NEAR(clip_grad_norm(block, 1), 1.1313708498984762e20, 1e13);
  EXPECT_NEAR(gradient_norm(block), 1, 1e-6);
  block.gradients(0)[5] = infinity;
  const float other = block.gradients(0)[0];
  EXPECT_FALSE(std::isfinite(clip_grad_norm(block, 0.5)));
  EXPECT_EQ(block.gradients(0)[0], other);
  EXPECT_EQ(block.gradients(0)[5], infinity);
}

TEST(Clip, ValuesAreLimitedOnBothSides) {
  Model model;
  model.set_gradients(2);
  std::vector<float> before(model.block.gradients(0).begin(), model.block.gradients(0).end());
  clip_grad_value(model.block, 0.25);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(model.block.gradients(0)[i], std::min(0.25F, std::max(-0.25F, before[i])));
  }
  EXPECT_EQ(model.block.gradients(1)[0], infinity);  // it has no gradient
  EXPECT_THROW(clip_grad_value(model.block, -1), ValueError);
  EXPECT_THROW(clip_grad_value(model.block, 1e-50), ValueError);  // as a float it is 0
}

}  // namespace
}  // namespace reel::nn
