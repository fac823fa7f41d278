// Evaluates a template's syntax tree against its variables.
#pragma once
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"

namespace infernum::jinja {

/// The names one scope sets. Macros keep the scopes around them (`captured`); others are used again.
struct Frame {
  Frame* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;
  bool captured = false;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

class Interpreter {
 public:
  explicit Interpreter(Runtime& rt);
  /// Names must outlive the interpreter.
  void define(std::string_view name, Value value) { globals_->set(name, std::move(value)); }
  Text run(const Body& body);

 private:
  enum class Flow { Next, Break, Continue };
  struct Scope;
  struct Capture;

  // jinja_interpreter.cpp: statements
  Flow execute(const Body& body);
  Flow execute(const Stmt& stmt);
  Flow execute_if(const Stmt& stmt);
  Flow execute_for(const Stmt& stmt);
  void execute_set_block(const Stmt& stmt);
  void execute_call_block(const Stmt& stmt);
  void execute_filter_block(const Stmt& stmt);
  Flow execute_scope(const Stmt& stmt);
  void run_loop(const Stmt& stmt, const Value& over, int depth);
  List* loop_items(const Stmt& stmt, const Value& over);
  void assign(const Target& target, const Value& value);
  void emit(const Text& text);
  Value capture(const Body& body);
  Frame* acquire(Frame* parent);
  void release(Frame* frame);
  Value define_macro(const MacroDefinition& macro);

  // jinja_calls.cpp
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const Callable& macro, Arguments arguments);
  void bind(const MacroDefinition& macro, Arguments arguments, Frame& frame);
  Value call_loop(Loop& loop, const Arguments& arguments);
  Arguments evaluate_arguments(const Expr& expr);

  // jinja_expressions.cpp
  Value evaluate(const Expr& expr);
  Value evaluate_name(const Expr& expr);
  Value evaluate_container(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_concat(const Expr& expr);
  Value evaluate_slice(const Expr& expr);
  Value evaluate_call(const Expr& expr);
  Value evaluate_filter(const Expr& expr, const Value* head = nullptr);
  Value evaluate_test(const Expr& expr);

  struct OpenLoop {
    Callable* callable;
    const Stmt* stmt;
    Frame* frame;
    int depth;
  };

  Runtime& rt_;
  std::vector<std::unique_ptr<Frame>> frames_;
  std::vector<Frame*> free_;
  std::vector<OpenLoop> recursive_;  // loops that may be called
  Frame* globals_;
  Frame* frame_;
  Text* out_ = nullptr;
  size_t buffered_ = 0;  // bytes in all open outputs
  int macro_depth_ = 0;
};

}  // namespace infernum::jinja
