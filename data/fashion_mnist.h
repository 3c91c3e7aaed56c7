#pragma once

#include "data/dataset.h"

namespace reel::data {

/// Fashion-MNIST: 60,000 and 10,000 images of 28x28 pixels, 10 classes (Xiao, Rasul, Vollgraf 2017), from the
/// files of the Debian package dataset-fashion-mnist, or from the folder that the environment variable
/// REEL_FASHION_MNIST names. Throws IoError that names the package if the files are not there.
Split fashion_mnist();

}  // namespace reel::data
