// The command line: every command and flag in one place.
#pragma once

namespace infernum::app {

/// Parses, runs the command and returns the exit code: 0 done, 1 failure, 2 wrong usage, 130 interrupted.
int main(int argc, char** argv);

}  // namespace infernum::app
