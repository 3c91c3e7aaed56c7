#pragma once

#include "data/dataset.h"

namespace reel::data {

/// 1,797 handwritten digits of 8x8 pixels, scaled to [0, 1]; 10 classes. Part of the program. Source:
/// data/README.md.
Dataset digits();

/// 150 iris flowers: sepal length and width, petal length and width in cm; 3 classes. Part of the program.
/// Source: data/README.md.
Dataset iris();

}  // namespace reel::data
