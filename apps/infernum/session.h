// What most commands begin with: the checkpoint behind a reference, its model, and what was asked for in the common flags.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "checkpoint/checkpoint.h"
#include "models/model.h"
#include "options.h"

namespace infernum::app {

/// A path as given; empty: the bundled model, found beside the program or in the source tree.
std::string resolve_model(const std::string& reference);

ModelOptions model_options(const ModelFlags& flags, const std::string& config_json);

/// Opens and loads, with progress on stderr once it takes longer than a second.
struct Session {
  Checkpoint checkpoint;
  ModelOptions options;
  std::unique_ptr<Model> model;
  /// `bf16_frequencies` as in ModelOptions.
  explicit Session(const ModelFlags& flags, bool bf16_frequencies = false);
};

/// Highest resident memory of this process so far, and the present one, in bytes.
int64_t peak_memory();
int64_t resident_memory();

/// Tokens of cache to reserve for one sequence: the context, or what half of the free memory holds.
int64_t cache_tokens(const Model& model);

/// "1.5 GiB".
std::string human_bytes(double bytes);

/// From here on Ctrl-C ends the program with exit code 130, unless an Interruptible lives.
void end_on_interrupt();

/// Thrown by work that Ctrl-C stopped, so that it can tidy up: exit code 130.
struct Interrupted {};

/// While one lives Ctrl-C is only noted; a second one ends the program with exit code 130.
class Interruptible {
 public:
  Interruptible();
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  static bool interrupted();
};

std::string read_stdin();  ///< at most 256 MiB
bool stdin_is_piped();     ///< a pipe or a file, not a terminal or /dev/null

/// Removes control characters but newline and tab: a model must not be able to steer the terminal.
std::string printable(const std::string& text);

}  // namespace infernum::app
