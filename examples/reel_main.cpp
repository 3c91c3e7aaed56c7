#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>

#include "autograd/error.h"
#include "data/error.h"
#include "data/file.h"
#include "examples/command_line.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/recorded_flags.h"
#include "examples/usage_error.h"
#include "kernels/parallel.h"
#include "nn/error.h"

// The `reel` program: flags in, exit code out. What each verb does stands in its own file.

namespace reel::examples {
namespace {

void use_threads(int threads) {
  if (threads == 0) return;
  kernels::set_threads(threads);
  if (kernels::threads() == threads) return;
  std::cerr << "reel: warning: --threads " << threads << ": no more than " << kernels::threads()
            << " threads can work at once; it goes on with " << kernels::threads() << "\n";
}

struct Run {
  int operator()(const ClassifierFlags& flags) const {
    use_threads(flags.run.threads);
    return train_classifier(flags);
  }
  int operator()(const TransformerFlags& flags) const {
    use_threads(flags.run.threads);
    return train_transformer(flags);
  }
  int operator()(const GenerateFlags& flags) const {
    use_threads(flags.threads);
    return run_generate(flags);
  }
  int operator()(const EvaluateFlags& flags) const {
    use_threads(flags.threads);
    return run_evaluate(flags);
  }
  int operator()(const PredictFlags& flags) const {
    use_threads(flags.threads);
    return run_predict(flags);
  }
  int operator()(const InspectFlags& flags) const { return run_inspect(flags); }
  int operator()(const AutopsyFlags& flags) const { return run_autopsy(flags.directory, flags.json); }
  int operator()(const AttentionFlags& flags) const { return run_attention(flags); }
  int operator()(const BenchFlags& flags) const {
    use_threads(flags.threads);
    return run_bench(flags);
  }
  int operator()(const OpsFlags& flags) const { return run_ops(flags.json); }
};

// Messages quote names and contents of files that somebody else may have chosen.
int complain(const std::string& what, ExitCode code) {
  std::cerr << "reel: " << data::printable(what) << "\n";
  return code;
}

// The same for a message that may have several lines.
int complain_in_lines(const std::string& what, ExitCode code) {
  std::cerr << "reel: " << data::printable_lines(what) << "\n";
  return code;
}

// What takes less memory, by the flags of the verb.
struct LessMemory {
  const char* operator()(const ClassifierFlags&) const {
    return "; a smaller --batch or --hidden needs less";
  }
  const char* operator()(const TransformerFlags&) const {
    return "; a smaller --batch, --width, --context or --layers needs less";
  }
  const char* operator()(const EvaluateFlags&) const { return "; a smaller model or less --data needs less"; }
  const char* operator()(const PredictFlags&) const { return "; a smaller model or less --data needs less"; }
  const char* operator()(const GenerateFlags&) const { return "; a smaller model needs less"; }
  const char* operator()(const AttentionFlags&) const {
    return "; a smaller model or a shorter --prompt needs less";
  }
  const char* operator()(const BenchFlags&) const { return "; choose a smaller case with --case"; }
  template <class Flags>
  const char* operator()(const Flags&) const {
    return "";  // the file decides
  }
};

int run(const std::vector<std::string>& words) {
  const auto parsed = parse_command_line(
      words, std::cout, std::cerr,
      [](CLI::App& verb, const RunFlags& flags) { take_recorded_flags(verb, flags, std::cerr); });
  if (const auto* answered = std::get_if<ExitCode>(&parsed)) return *answered;
  const Command& command = std::get<Command>(parsed);
  try {
    return std::visit(Run{}, command);
  } catch (const std::bad_alloc&) {
    return complain(std::string("not enough memory") + std::visit(LessMemory{}, command), failed);
  }
}

// A stream that is closed leaves its number to the first file that is opened, a log say, and what is meant
// for stderr would go into that. In its place comes one that leads nowhere; as stdout it takes no writing,
// for a result that is lost is still a failure.
void open_missing_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1) continue;
    // It gets the smallest number that is free, which is this one.
    [[maybe_unused]] const int opened = ::open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_RDWR);
  }
}

// A library that asks for memory while it frees something, and gets none, ends the program; then it ends with
// the words and the code of any other lack of memory. They are written without asking for more.
[[noreturn]] void end() {
  try {
    if (const std::exception_ptr e = std::current_exception()) std::rethrow_exception(e);
  } catch (const std::bad_alloc&) {
    constexpr char words[] = "reel: not enough memory\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, words, sizeof words - 1);
    std::_Exit(failed);
  } catch (...) {
  }
  std::abort();
}

}  // namespace
}  // namespace reel::examples

int main(int argc, char** argv) {
  using namespace reel;
  using namespace reel::examples;
  open_missing_streams();
  std::set_terminate(end);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is reported by write(2)
  try {
    const int code = run({argv + 1, argv + argc});
    // A result that did not arrive, on a full disk say, is no success.
    std::cout.flush();
    if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return complain("the result cannot be written to stdout", io);
    }
    return code;
  } catch (const UsageError& e) {
    return complain(e.what(), usage);
  } catch (const data::DataError& e) {
    return complain_in_lines(e.what(), data_file);
  } catch (const nn::FileError& e) {
    return complain_in_lines(e.what(), checkpoint);
  } catch (const data::IoError& e) {
    return complain(e.what(), io);
  } catch (const nn::IoError& e) {
    return complain_in_lines(e.what(), io);
  } catch (const std::filesystem::filesystem_error& e) {
    // A name that cannot even be looked up: links in a circle, a name too long, a directory that is closed.
    return complain(
        data::printable(e.path1()) + ": cannot be looked up: " + e.code().message() + "; give another path",
        io);
  } catch (const NonFiniteError& e) {
    return complain_in_lines(e.what(), non_finite);
  } catch (const std::bad_alloc&) {
    return complain("not enough memory", failed);
  } catch (const std::exception& e) {
    return complain_in_lines(e.what(), failed);
  }
}
