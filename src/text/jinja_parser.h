// Recursive descent parser from tokens to the syntax tree, after the grammar of Jinja 3.1.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace infernum::jinja {

/// Throws TemplateError with the line of the mistake.
Body parse(std::string_view source, const Limits& limits);

class Parser {
 public:
  Parser(std::vector<Token> tokens, const Limits& limits) : tokens_(std::move(tokens)), limits_(limits) {}
  Body parse_template();

 private:
  // jinja_parser.cpp: tokens
  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_operator(std::string_view text) const { return now().kind == TokenKind::Operator && now().text == text; }
  bool is_name(std::string_view text) const { return now().kind == TokenKind::Name && now().text == text; }
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  void expect_operator(std::string_view text);
  Str expect_name(const char* what);
  void expect_block_end();
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_here(const std::string& expected) const;

  // jinja_parser.cpp: expressions, loosest first
  ExprPtr make(ExprKind kind) const;
  /// Moves children into a node and refuses trees that grow too high.
  ExprPtr adopt(ExprPtr parent, ExprPtr child) const;
  ExprPtr parse_expression();  // inline if
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_literal_name();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_tuple(bool with_conditional, bool parenthesized, std::string_view stop = "");
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filters_and_tests(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_call(ExprPtr callee);
  ExprPtr parse_filter(ExprPtr subject);
  ExprPtr parse_filter_chain();
  ExprPtr parse_test(ExprPtr subject);
  void parse_arguments(Expr& into);
  ExprPtr parse_binary(ExprPtr left, Operator op, ExprPtr right) const;

  // jinja_statements.cpp
  Body parse_until(std::initializer_list<std::string_view> ends);
  Stmt parse_statement();
  Stmt parse_if();
  Stmt parse_for();
  Stmt parse_set();
  Stmt parse_macro();
  Stmt parse_call_block();
  Stmt parse_filter_block();
  Stmt parse_with();
  Stmt parse_generation();
  Target parse_target(bool with_namespace);
  Target parse_target_item(bool with_namespace);
  void parse_signature(MacroDefinition& macro);
  void parse_macro_body(MacroDefinition& macro, std::string_view end);

  struct Deeper;
  std::vector<Token> tokens_;
  const Limits& limits_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;                         // for blocks around, for break and continue
  std::vector<MacroDefinition*> macros_;  // macros around, to note their use of caller, varargs, kwargs
};

/// Counts one level of the parser's recursion while it lives.
struct Parser::Deeper {
  explicit Deeper(Parser& parser) : p(parser) {
    if (p.depth_ >= p.limits_.nesting) p.fail("nested deeper than " + std::to_string(p.limits_.nesting) + " levels");
    p.depth_++;
  }
  ~Deeper() { p.depth_--; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  Parser& p;
};

}  // namespace infernum::jinja
