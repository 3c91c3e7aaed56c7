#pragma once

namespace reel::examples {

/// What the program says to the shell.
enum ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,         // a flag, or flags that do not fit together
  data_file = 3,     // a data file is wrong
  checkpoint = 4,    // a model or checkpoint file is wrong
  io = 5,            // the operating system refused
  non_finite = 6,    // training, or work with a model, ran into numbers that are not finite
  interrupted = 130  // by Ctrl-C, after saving a checkpoint
};

}  // namespace reel::examples
