#pragma once

#include "nn/gpt.h"
#include "nn/safetensors.h"

namespace reel::nn {

/// The sizes of the GPT-2 in a file of Hugging Face's, from the shapes of its tensors. Shapes do not tell the
/// number of heads: unless it is given, a head has 64 channels, as in every GPT-2 that OpenAI published.
/// Throws FileError if the file holds no GPT-2, ValueError if no number of heads follows from the width.
GptConfig gpt2_config(const Safetensors& file, std::int64_t heads = 0, Place place = Place::here());

/// Copies the weights of a Hugging Face GPT-2 into a model. That file differs from Reel's own in four ways:
/// linear weights lie as [in, out] (its Conv1D layer), the prefix "transformer." may be missing, the causal
/// masks are among the tensors (h.0.attn.bias, h.0.attn.masked_bias; ignored), and a tied head may be stored
/// once more (lm_head.weight). A model with a head of its own gets the embedding's values if the file has
/// none. Nothing is changed unless all fit. Throws FileError that lists every tensor that does not.
void load_gpt2_weights(const Safetensors& file, Gpt& model);

}  // namespace reel::nn
