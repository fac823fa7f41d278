// The command line: every command and flag in one place.
#pragma once
#include <string>

namespace CLI {
class App;
}

namespace infernum::app {

struct ModelFlags;

/// Parses, runs the command and returns the exit code: 0 done, 1 failure, 2 wrong usage, 130 interrupted.
int main(int argc, char** argv);

/// "INFERNUM_TOP_K" of "top-k".
std::string env_name(std::string flag);

/// The model itself, as an argument, and how it is to run here.
void add_model_flags(CLI::App* app, ModelFlags& flags);

}  // namespace infernum::app
