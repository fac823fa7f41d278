// How the interpreter evaluates expressions.
#include "text/jinja_interpreter.h"
#include "text/jinja_library.h"

namespace infernum::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  Runtime::Deeper deeper(rt_);
  rt_.step();
  switch (expr.kind) {
    case ExprKind::Constant: return expr.constant;
    case ExprKind::Name: return evaluate_name(expr);
    case ExprKind::List:
    case ExprKind::Tuple:
    case ExprKind::Dict: return evaluate_container(expr);
    case ExprKind::Not: return !truthy(evaluate(*expr.children[0]));
    case ExprKind::Negative:
    case ExprKind::Positive: return negative(rt_, evaluate(*expr.children[0]), expr.kind == ExprKind::Negative);
    case ExprKind::Arithmetic: {
      const Value left = evaluate(*expr.children[0]);
      const Value right = evaluate(*expr.children[1]);
      return arithmetic(rt_, expr.ops[0], left, right);
    }
    case ExprKind::Compare: return evaluate_compare(expr);
    case ExprKind::And:
    case ExprKind::Or: {
      Value left = evaluate(*expr.children[0]);
      return truthy(left) == (expr.kind == ExprKind::Or) ? left : evaluate(*expr.children[1]);
    }
    case ExprKind::Concat: return evaluate_concat(expr);
    case ExprKind::Conditional:
      if (truthy(evaluate(*expr.children[1]))) return evaluate(*expr.children[0]);
      return expr.children[2] ? evaluate(*expr.children[2]) : Value(Undefined{});
    case ExprKind::Attribute: return attribute(rt_, evaluate(*expr.children[0]), expr.name);
    case ExprKind::Item: {
      const Value object = evaluate(*expr.children[0]);
      return subscript(rt_, object, evaluate(*expr.children[1]));
    }
    case ExprKind::Slice: return evaluate_slice(expr);
    case ExprKind::Call: return evaluate_call(expr);
    case ExprKind::Filter: return evaluate_filter(expr);
    case ExprKind::Test: return evaluate_test(expr);
  }
  return None{};
}

Value Interpreter::evaluate_name(const Expr& expr) {
  for (Frame* f = frame_; f; f = f->parent)
    if (const Value* found = f->find(expr.name->bytes)) return *found;
  return Undefined{expr.name};
}

Value Interpreter::evaluate_container(const Expr& expr) {
  if (expr.kind == ExprKind::Dict) {
    Dict* dict = rt_.dict();
    for (size_t i = 0; i < expr.children.size(); i += 2) {
      const Value key = evaluate(*expr.children[i]);
      rt_.set(*dict, key, evaluate(*expr.children[i + 1]));
    }
    return dict;
  }
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (auto& child : expr.children) items.push_back(evaluate(*child));
  return rt_.list(std::move(items), expr.kind == ExprKind::Tuple ? ListKind::Tuple : ListKind::List);
}

Value Interpreter::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); i++) {
    Value right = evaluate(*expr.children[i + 1]);
    rt_.line = expr.line;
    if (!test_compare(rt_, expr.ops[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::evaluate_concat(const Expr& expr) {
  Text out;
  for (auto& child : expr.children) {
    const Value v = evaluate(*child);
    if (auto* s = as<Str>(v))
      out.append(**s);
    else
      out.append(to_text(rt_, v));
    rt_.check_string(out.size());
  }
  return rt_.text(std::move(out));
}

Value Interpreter::evaluate_slice(const Expr& expr) {
  const Value object = evaluate(*expr.children[0]);
  Value bounds[3] = {None{}, None{}, None{}};
  for (size_t i = 0; i < 3; i++)
    if (expr.children[i + 1]) bounds[i] = evaluate(*expr.children[i + 1]);
  return slice(rt_, object, bounds[0], bounds[1], bounds[2]);
}

Value Interpreter::evaluate_call(const Expr& expr) {
  const Expr& target = *expr.children[0];
  if (target.kind != ExprKind::Attribute) {
    const Value callee = evaluate(target);
    Arguments arguments = evaluate_arguments(expr);
    rt_.line = expr.line;
    return call(callee, std::move(arguments));
  }
  const Value object = evaluate(*target.children[0]);
  if (!has_method(rt_, object, target.name->bytes)) {
    const Value callee = attribute(rt_, object, target.name);
    Arguments arguments = evaluate_arguments(expr);
    rt_.line = expr.line;
    return call(callee, std::move(arguments));
  }
  const Arguments arguments = evaluate_arguments(expr);  // the usual method call needs no bound method
  rt_.line = expr.line;
  return call_method(rt_, object, target.name->bytes, arguments);
}

/// `head`: the text of a filter block, where the chain has no subject of its own.
Value Interpreter::evaluate_filter(const Expr& expr, const Value* head) {
  Runtime::Deeper deeper(rt_);
  const Expr* inner = expr.children[0].get();
  Value subject;
  if (!inner)
    subject = *head;
  else if (head && inner->kind == ExprKind::Filter)
    subject = evaluate_filter(*inner, head);
  else
    subject = evaluate(*inner);
  const Arguments arguments = evaluate_arguments(expr);
  rt_.line = expr.line;
  return apply_filter(rt_, expr.name->bytes, subject, arguments);
}

Value Interpreter::evaluate_test(const Expr& expr) {
  const Value subject = evaluate(*expr.children[0]);
  const Arguments arguments = evaluate_arguments(expr);
  rt_.line = expr.line;
  return apply_test(rt_, expr.name->bytes, subject, arguments);
}

}  // namespace infernum::jinja
