// The infernum program: one binary, one subcommand per task.
int main() { return 0; }
