#pragma once

// Everything with parameters in one include.

#include "nn/checkpoint.h"
#include "nn/clip.h"
#include "nn/directory_lock.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/error.h"
#include "nn/gpt.h"
#include "nn/gpt2_weights.h"
#include "nn/init.h"
#include "nn/linear.h"
#include "nn/mlp.h"
#include "nn/module_list.h"
#include "nn/norm.h"
#include "nn/optimizer.h"
#include "nn/sampler.h"
#include "nn/schedule.h"
#include "nn/sequential.h"
#include "nn/summary.h"
#include "nn/transformer.h"
#include "nn/weights.h"
