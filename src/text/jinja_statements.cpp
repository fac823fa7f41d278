// Statements of the template language.
#include "text/jinja_parser.h"

namespace infernum::jinja {

namespace {
Str shared(std::string_view text) { return std::make_shared<const Text>(text); }
}  // namespace

Body parse(std::string_view source, const Limits& limits) {
  if (source.size() > limits.source_bytes)
    throw TemplateError(1,
                        "the template has " + std::to_string(source.size()) + " bytes, more than " + std::to_string(limits.source_bytes));
  return Parser(tokenize(source), limits).parse_template();
}

Body Parser::parse_template() {
  Body body = parse_until({});
  if (now().kind != TokenKind::End) fail_here("a statement");
  return body;
}

/// Text, outputs and statements up to a block that begins with one of `ends`, whose name stays as the next token.
Body Parser::parse_until(std::initializer_list<std::string_view> ends) {
  Deeper deeper(*this);
  Body body;
  for (;;) {
    switch (now().kind) {
      case TokenKind::End:
        if (ends.size()) fail_here("'" + std::string(*ends.begin()) + "'");
        return body;
      case TokenKind::Text: {
        Stmt& stmt = body.emplace_back(Stmt{StmtKind::Text, now().line, nullptr, false, {}, {}, {}, nullptr});
        stmt.text = shared(take().text);
        break;
      }
      case TokenKind::VariableBegin: {
        take();
        Stmt stmt{StmtKind::Output, now().line, nullptr, false, {}, {}, {}, nullptr};
        stmt.exprs.push_back(parse_tuple(true, false));
        if (now().kind != TokenKind::VariableEnd) fail_here("'}}'");
        take();
        body.push_back(std::move(stmt));
        break;
      }
      default: {
        take();  // BlockBegin
        for (auto end : ends)
          if (is_name(end)) return body;
        body.push_back(parse_statement());
      }
    }
  }
}

Stmt Parser::parse_statement() {
  const int line = now().line;
  if (now().kind != TokenKind::Name) fail_here("a statement");
  const std::string name = take().text;
  Stmt stmt{StmtKind::Break, line, nullptr, false, {}, {}, {}, nullptr};
  if (name == "if")
    stmt = parse_if();
  else if (name == "for")
    stmt = parse_for();
  else if (name == "set")
    stmt = parse_set();
  else if (name == "macro")
    stmt = parse_macro();
  else if (name == "call")
    stmt = parse_call_block();
  else if (name == "filter")
    stmt = parse_filter_block();
  else if (name == "with")
    stmt = parse_with();
  else if (name == "generation")
    stmt = parse_generation();
  else if (name == "break" || name == "continue") {
    if (!loops_) fail("'" + name + "' outside a loop");
    if (name == "continue") stmt.kind = StmtKind::Continue;
  } else if (name == "include" || name == "import" || name == "from" || name == "extends" || name == "block") {
    throw TemplateError(line, "'" + name + "' is not supported: a chat template stands alone");
  } else {
    throw TemplateError(line, "unknown statement '" + name.substr(0, 60) + "'");
  }
  stmt.line = line;
  expect_block_end();
  return stmt;
}

Stmt Parser::parse_if() {
  Stmt stmt{StmtKind::If, 0, nullptr, false, {}, {}, {}, nullptr};
  for (;;) {
    stmt.exprs.push_back(parse_tuple(false, false));
    expect_block_end();
    stmt.bodies.push_back(parse_until({"elif", "else", "endif"}));
    const std::string end = take().text;
    if (end == "elif") continue;
    if (end == "endif") return stmt;
    expect_block_end();
    stmt.bodies.push_back(parse_until({"endif"}));
    take();
    return stmt;
  }
}

Stmt Parser::parse_for() {
  Stmt stmt{StmtKind::For, 0, nullptr, false, {}, {}, {}, nullptr};
  stmt.targets.push_back(parse_target(false));
  if (!take_name("in")) fail_here("'in'");
  stmt.exprs.push_back(parse_tuple(false, false, "recursive"));
  stmt.exprs.push_back(take_name("if") ? parse_expression() : nullptr);
  stmt.recursive = take_name("recursive");
  expect_block_end();
  loops_++;
  stmt.bodies.push_back(parse_until({"endfor", "else"}));
  loops_--;
  if (take().text == "else") {
    expect_block_end();
    stmt.bodies.push_back(parse_until({"endfor"}));
    take();
  }
  return stmt;
}

Target Parser::parse_target_item(bool with_namespace) {
  Deeper deeper(*this);
  if (take_operator("(")) {
    Target group = parse_target(with_namespace);
    expect_operator(")");
    return group;
  }
  Target target;
  target.name = expect_name("a name to assign to");
  for (const char* word : {"true", "false", "none", "True", "False", "None"})
    if (target.name->bytes == word) fail(std::string("cannot assign to '") + word + "'");
  if (with_namespace && take_operator(".")) target.attribute = expect_name("an attribute's name");
  return target;
}

Target Parser::parse_target(bool with_namespace) {
  Target first = parse_target_item(with_namespace);
  if (!is_operator(",")) return first;
  Target all;
  all.parts.push_back(std::move(first));
  while (take_operator(",")) {
    if (is_name("in") || is_operator("=") || is_operator(")")) break;
    all.parts.push_back(parse_target_item(with_namespace));
  }
  return all;
}

Stmt Parser::parse_set() {
  Stmt stmt{StmtKind::Set, 0, nullptr, false, {}, {}, {}, nullptr};
  stmt.targets.push_back(parse_target(true));
  if (take_operator("=")) {
    stmt.exprs.push_back(parse_tuple(true, false));
    return stmt;
  }
  stmt.kind = StmtKind::SetBlock;
  stmt.exprs.push_back(take_operator("|") ? parse_filter_chain() : nullptr);
  expect_block_end();
  stmt.bodies.push_back(parse_until({"endset"}));
  take();
  return stmt;
}

/// (name, name = default, ...)
void Parser::parse_signature(MacroDefinition& macro) {
  expect_operator("(");
  for (bool first = true; !take_operator(")"); first = false) {
    if (!first) expect_operator(",");
    if (take_operator(")")) break;
    macro.parameters.push_back(expect_name("a parameter's name"));
    if (take_operator("="))
      macro.defaults.push_back(parse_expression());
    else if (!macro.defaults.empty())
      fail("a parameter without default follows one with a default");
  }
}

void Parser::parse_macro_body(MacroDefinition& macro, std::string_view end) {
  expect_block_end();
  macros_.push_back(&macro);
  const int loops = std::exchange(loops_, 0);
  macro.body = parse_until({end});
  loops_ = loops;
  macros_.pop_back();
  take();
}

Stmt Parser::parse_macro() {
  Stmt stmt{StmtKind::Macro, 0, nullptr, false, {}, {}, {}, std::make_unique<MacroDefinition>()};
  stmt.macro->line = now().line;
  stmt.macro->name = expect_name("a macro's name");
  parse_signature(*stmt.macro);
  parse_macro_body(*stmt.macro, "endmacro");
  return stmt;
}

Stmt Parser::parse_call_block() {
  Stmt stmt{StmtKind::CallBlock, 0, nullptr, false, {}, {}, {}, std::make_unique<MacroDefinition>()};
  stmt.macro->line = now().line;
  stmt.macro->name = shared("caller");
  if (is_operator("(")) parse_signature(*stmt.macro);
  stmt.exprs.push_back(parse_expression());
  if (stmt.exprs[0]->kind != ExprKind::Call) fail("a call block needs a call");
  parse_macro_body(*stmt.macro, "endcall");
  return stmt;
}

Stmt Parser::parse_filter_block() {
  Stmt stmt{StmtKind::FilterBlock, 0, nullptr, false, {}, {}, {}, nullptr};
  stmt.exprs.push_back(parse_filter_chain());
  expect_block_end();
  stmt.bodies.push_back(parse_until({"endfilter"}));
  take();
  return stmt;
}

Stmt Parser::parse_with() {
  Stmt stmt{StmtKind::Scope, 0, nullptr, false, {}, {}, {}, nullptr};
  while (now().kind != TokenKind::BlockEnd) {
    if (!stmt.targets.empty()) expect_operator(",");
    stmt.targets.push_back(parse_target_item(false));
    expect_operator("=");
    stmt.exprs.push_back(parse_expression());
  }
  take();
  stmt.bodies.push_back(parse_until({"endwith"}));
  take();
  return stmt;
}

Stmt Parser::parse_generation() {
  Stmt stmt{StmtKind::Scope, 0, nullptr, false, {}, {}, {}, nullptr};
  expect_block_end();
  stmt.bodies.push_back(parse_until({"endgeneration"}));
  take();
  return stmt;
}

}  // namespace infernum::jinja
