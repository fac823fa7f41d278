// The infernum program: one binary, one subcommand per task.
#include "cli.h"

int main(int argc, char** argv) { return infernum::app::main(argc, argv); }
