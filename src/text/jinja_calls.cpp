// Calls: macros with their parameters, recursive loops, methods and functions.
#include "text/jinja_interpreter.h"
#include "text/jinja_library.h"

namespace infernum::jinja {

Arguments Interpreter::evaluate_arguments(const Expr& expr) {
  Arguments out;
  out.reserve(expr.argument_names.size());
  for (size_t i = 0; i < expr.argument_names.size(); i++) {
    const Str& name = expr.argument_names[i];
    Value value = evaluate(*expr.children[i + 1]);
    if (!name || (name->bytes != "*" && name->bytes != "**")) {
      out.push_back({name, std::move(value)});
    } else if (name->bytes == "*") {
      for (auto& item : elements(rt_, value)) out.push_back({nullptr, std::move(item)});
    } else {
      auto* dict = as<Dict*>(value);
      if (!dict) rt_.fail(std::string("argument after ** must be a mapping, not ") + type_name(value));
      for (auto& item : (*dict)->items()) {
        auto* key = as<Str>(item.key);
        if (!key) rt_.fail("keywords must be strings");
        out.push_back({*key, item.value});
      }
    }
  }
  return out;
}

Value Interpreter::call(const Value& callee, Arguments arguments) {
  if (auto* loop = as<Loop*>(callee)) return call_loop(**loop, arguments);
  auto* c = as<Callable*>(callee);
  if (!c) {
    if (auto* u = as<Undefined>(callee)) rt_.fail(describe_undefined(*u));
    rt_.fail(std::string("'") + type_name(callee) + "' object is not callable");
  }
  switch ((*c)->kind) {
    case Callable::Kind::Macro: return call_macro(**c, std::move(arguments));
    case Callable::Kind::Method: return call_method(rt_, (*c)->self, (*c)->name->bytes, arguments);
    case Callable::Kind::Function: break;
  }
  return call_function(rt_, (*c)->name->bytes, arguments);
}

/// Sets the parameters, varargs, kwargs and caller of a macro in its new frame.
void Interpreter::bind(const MacroDefinition& macro, Arguments arguments, Frame& frame) {
  const std::string what = "macro '" + macro.name->bytes + "'";
  const size_t parameters = macro.parameters.size(), required = parameters - macro.defaults.size();
  std::vector<const Value*> bound(parameters, nullptr);
  std::vector<Value> rest;
  Dict* named = macro.uses_kwargs ? rt_.dict() : nullptr;
  size_t position = 0;
  bool has_caller = false;
  for (auto& argument : arguments) {
    if (!argument.name) {
      if (position < parameters)
        bound[position++] = &argument.value;
      else if (macro.uses_varargs)
        rest.push_back(argument.value);
      else
        rt_.fail(what + " takes not more than " + std::to_string(parameters) + " arguments");
      continue;
    }
    size_t at = 0;
    while (at < parameters && macro.parameters[at]->bytes != argument.name->bytes) at++;
    if (at < parameters) {
      if (bound[at]) rt_.fail(what + " got multiple values for '" + argument.name->bytes + "'");
      bound[at] = &argument.value;
    } else if (argument.name->bytes == "caller" && macro.uses_caller) {
      frame.set("caller", argument.value);
      has_caller = true;
    } else if (named) {
      rt_.set(*named, argument.name, argument.value);
    } else {
      rt_.fail(what + " takes no keyword argument '" + argument.name->bytes.substr(0, 60) + "'");
    }
  }
  if (macro.uses_caller && !has_caller) frame.set("caller", Undefined{rt_.text("caller")});
  for (size_t i = 0; i < parameters; i++) {
    if (bound[i])
      frame.set(macro.parameters[i]->bytes, *bound[i]);
    else if (i >= required)
      frame.set(macro.parameters[i]->bytes, evaluate(*macro.defaults[i - required]));
    else
      frame.set(macro.parameters[i]->bytes, Undefined{macro.parameters[i]});
  }
  if (macro.uses_varargs) frame.set("varargs", rt_.list(std::move(rest), ListKind::Tuple));
  if (named) frame.set("kwargs", named);
}

Value Interpreter::call_macro(const Callable& macro, Arguments arguments) {
  if (macro_depth_ >= rt_.limits().macros)
    rt_.fail("macros call each other deeper than " + std::to_string(rt_.limits().macros) + " levels");
  struct Restore {
    Interpreter& in;
    Frame* frame;
    int depth;
    ~Restore() {
      in.release(in.frame_);
      in.frame_ = frame;
      in.macro_depth_ = depth;
    }
  } restore{*this, frame_, macro_depth_};
  const int line = rt_.line;
  macro_depth_++;
  frame_ = acquire(macro.frame);
  bind(*macro.definition, std::move(arguments), *frame_);
  Value out = capture(macro.definition->body);
  rt_.line = line;
  return out;
}

/// loop(items): the body of a recursive for once more, one level deeper.
Value Interpreter::call_loop(Loop& loop, const Arguments& arguments) {
  for (auto open = recursive_.rbegin(); open != recursive_.rend(); ++open) {
    if (open->callable != loop.recurse) continue;
    const Bound bound(rt_, "loop", arguments, {"iterable"});
    const OpenLoop found = *open;
    const int outer_depth = macro_depth_;
    if (macro_depth_ >= rt_.limits().macros) rt_.fail("a loop calls itself deeper than " + std::to_string(rt_.limits().macros) + " levels");
    struct Restore {
      Interpreter& in;
      Frame* frame;
      Text* out;
      int depth;
      ~Restore() { in.frame_ = frame, in.out_ = out, in.macro_depth_ = depth; }
    } restore{*this, frame_, out_, outer_depth};
    macro_depth_++;
    frame_ = found.frame;
    Text text;
    out_ = &text;
    run_loop(*found.stmt, bound.at(0), found.depth + 1);
    buffered_ -= text.size();
    return rt_.text(std::move(text));
  }
  rt_.fail("the loop is not recursive: say `for ... recursive` to call it");
}

}  // namespace infernum::jinja
