// Expressions of the template language.
#include "text/jinja_parser.h"

#include <charconv>

namespace infernum::jinja {

namespace {
Str shared(std::string_view text) { return std::make_shared<const Text>(text); }
}  // namespace

bool Parser::take_operator(std::string_view text) { return is_operator(text) && (take(), true); }
bool Parser::take_name(std::string_view text) { return is_name(text) && (take(), true); }
void Parser::expect_operator(std::string_view text) {
  if (!take_operator(text)) fail_here("'" + std::string(text) + "'");
}
Str Parser::expect_name(const char* what) {
  if (now().kind != TokenKind::Name) fail_here(what);
  return shared(take().text);
}
void Parser::expect_block_end() {
  if (now().kind != TokenKind::BlockEnd) fail_here("the end of the block");
  take();
}
void Parser::fail(const std::string& message) const { throw TemplateError(now().line, message); }
void Parser::fail_here(const std::string& expected) const {
  const Token& t = now();
  std::string got = "'" + t.text.substr(0, 60) + "'";
  if (t.kind == TokenKind::End)
    got = "the end of the template";
  else if (t.kind == TokenKind::BlockEnd || t.kind == TokenKind::VariableEnd)
    got = "the end of the tag";
  fail("expected " + expected + ", found " + got);
}

ExprPtr Parser::make(ExprKind kind) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = now().line;
  return node;
}

ExprPtr Parser::adopt(ExprPtr parent, ExprPtr child) const {
  if (child && child->height >= parent->height) parent->height = child->height + 1;
  if (parent->height > limits_.nesting) fail("an expression nests deeper than " + std::to_string(limits_.nesting) + " levels");
  parent->children.push_back(std::move(child));
  return parent;
}

ExprPtr Parser::parse_binary(ExprPtr left, Operator op, ExprPtr right) const {
  auto node = make(ExprKind::Arithmetic);
  node->ops.push_back(op);
  return adopt(adopt(std::move(node), std::move(left)), std::move(right));
}

ExprPtr Parser::parse_expression() {
  Deeper deeper(*this);
  auto value = parse_or();
  while (take_name("if")) {
    auto node = adopt(make(ExprKind::Conditional), std::move(value));
    node = adopt(std::move(node), parse_or());
    value = adopt(std::move(node), take_name("else") ? parse_expression() : nullptr);
  }
  return value;
}

ExprPtr Parser::parse_or() {
  auto left = parse_and();
  while (take_name("or")) {
    auto right = parse_and();
    left = adopt(adopt(make(ExprKind::Or), std::move(left)), std::move(right));
  }
  return left;
}

ExprPtr Parser::parse_and() {
  auto left = parse_not();
  while (take_name("and")) {
    auto right = parse_not();
    left = adopt(adopt(make(ExprKind::And), std::move(left)), std::move(right));
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!take_name("not")) return parse_compare();
  Deeper deeper(*this);
  return adopt(make(ExprKind::Not), parse_not());
}

ExprPtr Parser::parse_compare() {
  static constexpr std::pair<std::string_view, Operator> signs[] = {{"==", Operator::Equal},  {"!=", Operator::NotEqual},
                                                                    {"<", Operator::Less},    {"<=", Operator::LessEqual},
                                                                    {">", Operator::Greater}, {">=", Operator::GreaterEqual}};
  auto left = parse_sum();
  ExprPtr node;
  for (;;) {
    const Operator* found = nullptr;
    static constexpr Operator in = Operator::In, not_in = Operator::NotIn;
    for (auto& [sign, op] : signs)
      if (take_operator(sign)) {
        found = &op;
        break;
      }
    if (!found && take_name("in")) found = &in;
    if (!found && is_name("not") && ahead().kind == TokenKind::Name && ahead().text == "in") take(), take(), found = &not_in;
    if (!found) return node ? std::move(node) : std::move(left);
    if (!node) node = adopt(make(ExprKind::Compare), std::move(left));
    node->ops.push_back(*found);
    node = adopt(std::move(node), parse_sum());
  }
}

ExprPtr Parser::parse_sum() {
  auto left = parse_concat();
  while (is_operator("+") || is_operator("-")) {
    const auto op = take().text == "+" ? Operator::Add : Operator::Subtract;
    auto right = parse_concat();
    left = parse_binary(std::move(left), op, std::move(right));
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  auto first = parse_product();
  if (!is_operator("~")) return first;
  auto node = adopt(make(ExprKind::Concat), std::move(first));
  while (take_operator("~")) node = adopt(std::move(node), parse_product());
  return node;
}

ExprPtr Parser::parse_product() {
  auto left = parse_power();
  for (;;) {
    Operator op;
    if (is_operator("*"))
      op = Operator::Multiply;
    else if (is_operator("/"))
      op = Operator::Divide;
    else if (is_operator("//"))
      op = Operator::FloorDivide;
    else if (is_operator("%"))
      op = Operator::Modulo;
    else
      return left;
    take();
    auto right = parse_power();
    left = parse_binary(std::move(left), op, std::move(right));
  }
}

ExprPtr Parser::parse_power() {
  auto left = parse_unary(true);
  while (take_operator("**")) {
    auto right = parse_unary(true);
    left = parse_binary(std::move(left), Operator::Power, std::move(right));
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filters) {
  Deeper deeper(*this);
  ExprPtr node;
  if (is_operator("-") || is_operator("+")) {
    node = make(take().text == "-" ? ExprKind::Negative : ExprKind::Positive);
    node = adopt(std::move(node), parse_unary(false));
  } else {
    node = parse_postfix(parse_primary());
  }
  return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr Parser::parse_literal_name() {
  auto node = make(ExprKind::Constant);
  const std::string text = take().text;
  if (text == "true" || text == "True") return node->constant = true, std::move(node);
  if (text == "false" || text == "False") return node->constant = false, std::move(node);
  if (text == "none" || text == "None") return node;
  for (auto* macro : macros_) {
    macro->uses_caller |= text == "caller";
    macro->uses_varargs |= text == "varargs";
    macro->uses_kwargs |= text == "kwargs";
  }
  node->kind = ExprKind::Name;
  node->name = shared(text);
  return node;
}

ExprPtr Parser::parse_primary() {
  const Token& token = now();
  if (token.kind == TokenKind::Name) return parse_literal_name();
  auto node = make(ExprKind::Constant);
  if (token.kind == TokenKind::String) {
    std::string text = take().text;
    while (now().kind == TokenKind::String) text += take().text;
    node->constant = shared(text);
    return node;
  }
  if (token.kind == TokenKind::Integer) {
    int64_t value = 0;
    if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec != std::errc()) fail("number out of range");
    node->constant = value;
    take();
    return node;
  }
  if (token.kind == TokenKind::Float) {
    double value = 0;
    if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec != std::errc()) fail("number out of range");
    node->constant = value;
    take();
    return node;
  }
  if (take_operator("(")) {
    auto inner = parse_tuple(true, true);
    expect_operator(")");
    return inner;
  }
  if (take_operator("[")) return parse_list();
  if (take_operator("{")) return parse_dict();
  fail_here("an expression");
}

ExprPtr Parser::parse_list() {
  auto node = make(ExprKind::List);
  while (!take_operator("]")) {
    if (!node->children.empty()) expect_operator(",");
    if (take_operator("]")) break;
    node = adopt(std::move(node), parse_expression());
  }
  return node;
}

ExprPtr Parser::parse_dict() {
  auto node = make(ExprKind::Dict);
  while (!take_operator("}")) {
    if (!node->children.empty()) expect_operator(",");
    if (take_operator("}")) break;
    node = adopt(std::move(node), parse_expression());
    expect_operator(":");
    node = adopt(std::move(node), parse_expression());
  }
  return node;
}

/// One expression, or a tuple where a comma follows. `stop`: a name that ends it (of a for statement).
ExprPtr Parser::parse_tuple(bool with_conditional, bool parenthesized, std::string_view stop) {
  auto tuple = make(ExprKind::Tuple);
  bool comma = false;
  auto ends = [&] {
    return now().kind == TokenKind::VariableEnd || now().kind == TokenKind::BlockEnd || is_operator(")") ||
           (!stop.empty() && is_name(stop));
  };
  for (bool first = true;; first = false) {
    if (!first && !take_operator(",")) break;
    comma |= !first;
    if (ends()) break;
    tuple = adopt(std::move(tuple), with_conditional ? parse_expression() : parse_or());
  }
  if (comma) return tuple;
  if (tuple->children.size() == 1) return std::move(tuple->children[0]);
  if (!parenthesized) fail_here("an expression");
  return tuple;
}

ExprPtr Parser::parse_postfix(ExprPtr node) {
  for (;;) {
    if (is_operator(".") || is_operator("["))
      node = parse_subscript(std::move(node));
    else if (is_operator("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr node) {
  for (;;) {
    if (take_operator("|"))
      node = parse_filter(std::move(node));
    else if (take_name("is"))
      node = parse_test(std::move(node));
    else if (is_operator("("))
      node = parse_call(std::move(node));
    else
      return node;
  }
}

ExprPtr Parser::parse_subscript(ExprPtr subject) {
  if (take_operator(".")) {
    if (now().kind == TokenKind::Name) {
      auto node = make(ExprKind::Attribute);
      node->name = shared(take().text);
      return adopt(std::move(node), std::move(subject));
    }
    if (now().kind != TokenKind::Integer) fail_here("a name or number after '.'");
    auto node = adopt(make(ExprKind::Item), std::move(subject));
    return adopt(std::move(node), parse_primary());
  }
  expect_operator("[");
  ExprPtr bounds[3];
  bool slice = false;
  for (int i = 0; i < 3; i++) {
    if (!is_operator(":") && !is_operator("]")) bounds[i] = parse_expression();
    if (i == 2 || !take_operator(":")) break;
    slice = true;
  }
  if (!slice && !bounds[0]) fail_here("an expression");
  if (!slice && is_operator(",")) {  // x[a, b] looks up the tuple
    auto tuple = adopt(make(ExprKind::Tuple), std::move(bounds[0]));
    while (take_operator(",")) tuple = adopt(std::move(tuple), parse_expression());
    bounds[0] = std::move(tuple);
  }
  expect_operator("]");
  auto node = adopt(make(slice ? ExprKind::Slice : ExprKind::Item), std::move(subject));
  for (int i = 0; i < (slice ? 3 : 1); i++) node = adopt(std::move(node), std::move(bounds[i]));
  return node;
}

void Parser::parse_arguments(Expr& into) {
  expect_operator("(");
  for (bool first = true; !take_operator(")"); first = false) {
    if (!first) expect_operator(",");
    if (take_operator(")")) break;
    Str name;
    if (take_operator("**"))
      name = shared("**");
    else if (take_operator("*"))
      name = shared("*");
    else if (now().kind == TokenKind::Name && ahead().kind == TokenKind::Operator && ahead().text == "=")
      name = shared(take().text), take();
    else if (!into.argument_names.empty() && into.argument_names.back() && into.argument_names.back()->bytes != "*")
      fail("a positional argument follows a keyword argument");
    auto value = parse_expression();
    if (value->height >= into.height) into.height = value->height + 1;
    into.argument_names.push_back(std::move(name));
    into.children.push_back(std::move(value));
  }
}

ExprPtr Parser::parse_call(ExprPtr callee) {
  auto node = adopt(make(ExprKind::Call), std::move(callee));
  parse_arguments(*node);
  return node;
}

ExprPtr Parser::parse_filter(ExprPtr subject) {
  auto node = adopt(make(ExprKind::Filter), std::move(subject));
  node->name = expect_name("a filter's name");
  if (is_operator("(")) parse_arguments(*node);
  return node;
}

/// The filters of a filter block or block set: `name(args) | name ...` without a subject.
ExprPtr Parser::parse_filter_chain() {
  auto node = parse_filter(nullptr);
  while (take_operator("|")) node = parse_filter(std::move(node));
  return node;
}

ExprPtr Parser::parse_test(ExprPtr subject) {
  auto node = make(ExprKind::Test);
  const bool negated = take_name("not");
  node = adopt(std::move(node), std::move(subject));
  node->name = expect_name("a test's name");
  const auto kind = now().kind;
  const bool operand = kind == TokenKind::Name || kind == TokenKind::String || kind == TokenKind::Integer || kind == TokenKind::Float ||
                       is_operator("[") || is_operator("{");
  if (is_operator("(")) {
    parse_arguments(*node);
  } else if (operand && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) fail("tests cannot be chained with 'is'");
    node->argument_names.push_back(nullptr);
    node = adopt(std::move(node), parse_postfix(parse_primary()));
  }
  return negated ? adopt(make(ExprKind::Not), std::move(node)) : std::move(node);
}

}  // namespace infernum::jinja
