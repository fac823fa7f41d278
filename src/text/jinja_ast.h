// The syntax tree of a chat template. Its height is bounded by the parser, so walking and destroying it may recurse.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace infernum::jinja {

enum class Operator {
  Add,
  Subtract,
  Multiply,
  Divide,
  FloorDivide,
  Modulo,
  Power,
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
  In,
  NotIn
};

enum class ExprKind {
  Constant,     // constant
  Name,         // name
  List,         // children
  Tuple,        // children
  Dict,         // children: key, value, key, value ...
  Not,          // children[0]
  Negative,     // children[0]
  Positive,     // children[0]
  Arithmetic,   // children[0] ops[0] children[1]
  Compare,      // children[0] ops[0] children[1] ops[1] children[2] ...
  And,          // children[0], children[1]
  Or,           // children[0], children[1]
  Concat,       // children joined by ~
  Conditional,  // children: value, condition, alternative (may be null)
  Attribute,    // children[0].name
  Item,         // children[0][children[1]]
  Slice,        // children[0][children[1]:children[2]:children[3]], each bound may be null
  Call,         // children[0](arguments from children[1])
  Filter,       // children[0] | name(arguments from children[1]); children[0] is null at the head of a filter block
  Test,         // children[0] is name(arguments from children[1])
};

struct Expr {
  ExprKind kind;
  int line;
  int height = 1;
  Str name;
  Value constant = None{};
  std::vector<std::unique_ptr<Expr>> children;
  std::vector<Str> argument_names;  // of children[1 ...]: null = positional, "*" and "**" = unpacked
  std::vector<Operator> ops;
};
using ExprPtr = std::unique_ptr<Expr>;

struct Stmt;
using Body = std::vector<Stmt>;

/// Where an assignment goes: a name, an attribute of a namespace, or several of them.
struct Target {
  Str name;
  Str attribute;
  std::vector<Target> parts;
};

struct MacroDefinition {
  Str name;
  int line = 0;
  std::vector<Str> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

enum class StmtKind {
  Text,         // text
  Output,       // exprs[0]
  If,           // exprs[i] chooses bodies[i]; one more body is the else
  For,          // targets[0] in exprs[0] if exprs[1] (may be null); bodies[0], bodies[1] = else
  Set,          // targets[0] = exprs[0]
  SetBlock,     // targets[0] = bodies[0] through the filters exprs[0] (may be null)
  Macro,        // macro
  CallBlock,    // exprs[0] is a call; macro is its caller()
  FilterBlock,  // bodies[0] through the filters exprs[0]
  Scope,        // targets[i] = exprs[i], then bodies[0] in a scope of its own (with, generation)
  Break,
  Continue,
};

struct Stmt {
  StmtKind kind;
  int line;
  Str text;
  bool recursive = false;
  std::vector<Target> targets;
  std::vector<ExprPtr> exprs;
  std::vector<Body> bodies;
  std::unique_ptr<MacroDefinition> macro;
};

}  // namespace infernum::jinja
