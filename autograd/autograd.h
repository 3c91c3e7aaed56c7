#pragma once

// The engine in one include: tensors, tapes, ops and their derivatives.

#include "autograd/autopsy.h"
#include "autograd/derivatives.h"
#include "autograd/error.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "autograd/tape.h"
#include "autograd/tensor.h"
