// Statements: scopes, loops, assignments, blocks.
#include "text/jinja_interpreter.h"

#include "text/jinja_library.h"

namespace infernum::jinja {

Value* Frame::find(std::string_view name) {
  for (auto& [known, value] : names)
    if (known == name) return &value;
  return nullptr;
}

void Frame::set(std::string_view name, Value value) {
  if (Value* known = find(name))
    *known = std::move(value);
  else
    names.emplace_back(name, std::move(value));
}

/// A new innermost scope while it lives.
struct Interpreter::Scope {
  Scope(Interpreter& interpreter, Frame* parent) : in(interpreter), outer(in.frame_) { in.frame_ = in.acquire(parent); }
  ~Scope() {
    in.release(in.frame_);
    in.frame_ = outer;
  }
  /// Names of the last iteration are gone; a macro that kept them keeps them.
  void renew() {
    if (in.frame_->captured)
      in.frame_ = in.acquire(in.frame_->parent);
    else
      in.frame_->names.clear();
  }
  Interpreter& in;
  Frame* outer;
};

/// Output goes to `text` while it lives.
struct Interpreter::Capture {
  explicit Capture(Interpreter& interpreter) : in(interpreter), outer(in.out_) { in.out_ = &text; }
  ~Capture() {
    in.out_ = outer;
    in.buffered_ -= text.size();
  }
  Interpreter& in;
  Text* outer;
  Text text;
};

Interpreter::Interpreter(Runtime& rt) : rt_(rt), globals_(acquire(nullptr)), frame_(globals_) {
  struct Context {
    Interpreter& in;
  } context{*this};
  for_each_function(
      [](void* c, std::string_view name) {
        auto& in = static_cast<Context*>(c)->in;
        in.define(name, in.rt_.callable({Callable::Kind::Function, in.rt_.text(name)}));
      },
      &context);
}

Frame* Interpreter::acquire(Frame* parent) {
  if (free_.empty()) {
    rt_.grow(sizeof(Frame) + 256);
    free_.push_back(frames_.emplace_back(std::make_unique<Frame>()).get());
  }
  Frame* frame = free_.back();
  free_.pop_back();
  frame->parent = parent;
  return frame;
}

void Interpreter::release(Frame* frame) {
  if (frame->captured) return;
  frame->names.clear();
  free_.push_back(frame);
}

Text Interpreter::run(const Body& body) {
  Capture capture(*this);
  Scope scope(*this, globals_);
  execute(body);
  buffered_ = 0;
  Text out = std::move(capture.text);
  capture.text = Text();
  return out;
}

void Interpreter::emit(const Text& text) {
  rt_.step(text.size() / 64);
  buffered_ += text.size();
  const size_t limit = rt_.limits().output_bytes;
  if (buffered_ > limit) {
    buffered_ -= text.size();
    rt_.fail("the output exceeds " + std::to_string(limit) + " bytes");
  }
  out_->append(text);
}

Value Interpreter::capture(const Body& body) {
  Capture capture(*this);
  execute(body);
  buffered_ -= capture.text.size();
  return rt_.text(std::exchange(capture.text, Text()));
}

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (auto& stmt : body)
    if (const Flow flow = execute(stmt); flow != Flow::Next) return flow;
  return Flow::Next;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt) {
  Runtime::Deeper deeper(rt_);
  rt_.line = stmt.line;
  rt_.step();
  switch (stmt.kind) {
    case StmtKind::Text: emit(*stmt.text); break;
    case StmtKind::Output: {
      const Value v = evaluate(*stmt.exprs[0]);
      if (auto* s = as<Str>(v))
        emit(**s);
      else
        emit(to_text(rt_, v));
      break;
    }
    case StmtKind::If: return execute_if(stmt);
    case StmtKind::For: return execute_for(stmt);
    case StmtKind::Set: assign(stmt.targets[0], evaluate(*stmt.exprs[0])); break;
    case StmtKind::SetBlock: execute_set_block(stmt); break;
    case StmtKind::Macro: frame_->set(stmt.macro->name->bytes, define_macro(*stmt.macro)); break;
    case StmtKind::CallBlock: execute_call_block(stmt); break;
    case StmtKind::FilterBlock: execute_filter_block(stmt); break;
    case StmtKind::Scope: return execute_scope(stmt);
    case StmtKind::Break: return Flow::Break;
    case StmtKind::Continue: return Flow::Continue;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::execute_if(const Stmt& stmt) {
  for (size_t i = 0; i < stmt.exprs.size(); i++)
    if (truthy(evaluate(*stmt.exprs[i]))) return execute(stmt.bodies[i]);
  return stmt.bodies.size() > stmt.exprs.size() ? execute(stmt.bodies.back()) : Flow::Next;
}

Interpreter::Flow Interpreter::execute_for(const Stmt& stmt) {
  run_loop(stmt, evaluate(*stmt.exprs[0]), 0);
  return Flow::Next;
}

/// What the loop walks: the list itself, or a copy of what another value yields or the loop's condition leaves.
List* Interpreter::loop_items(const Stmt& stmt, const Value& over) {
  auto* list = as<List*>(over);
  const bool in_place = list && (*list)->kind != ListKind::Generator;
  if (!stmt.exprs[1]) return in_place ? *list : rt_.list(elements(rt_, over));
  std::vector<Value> kept;
  Scope scope(*this, frame_);
  for (auto& item : elements(rt_, over)) {
    rt_.iterate();
    scope.renew();
    assign(stmt.targets[0], item);
    if (truthy(evaluate(*stmt.exprs[1]))) kept.push_back(item);
  }
  return rt_.list(std::move(kept));
}

void Interpreter::run_loop(const Stmt& stmt, const Value& over, int depth) {
  List* items = loop_items(stmt, over);
  Frame* outer = frame_;
  if (items->items.empty()) {
    if (stmt.bodies.size() < 2) return;
    Scope scope(*this, outer);
    execute(stmt.bodies[1]);
    return;
  }
  Loop* loop = rt_.loop();
  loop->items = items;
  loop->depth = depth;
  if (stmt.recursive) {
    loop->recurse = rt_.callable({Callable::Kind::Function, rt_.text("loop")});
    recursive_.push_back({loop->recurse, &stmt, outer, depth});
  }
  {
    Scope scope(*this, outer);
    for (; loop->index < items->items.size(); loop->index++) {
      rt_.iterate();
      scope.renew();
      frame_->set("loop", loop);
      assign(stmt.targets[0], Value(items->items[loop->index]));
      if (execute(stmt.bodies[0]) == Flow::Break) break;
    }
  }
  if (stmt.recursive) recursive_.pop_back();
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (target.parts.empty() && !target.attribute) return frame_->set(target.name->bytes, value);
  if (target.attribute) {
    Value* found = nullptr;
    for (Frame* f = frame_; f && !found; f = f->parent) found = f->find(target.name->bytes);
    auto* space = found ? as<Namespace*>(*found) : nullptr;
    if (!space) rt_.fail("cannot assign attribute '" + target.attribute->bytes + "': '" + target.name->bytes + "' is no namespace");
    for (auto& [name, known] : (*space)->attributes)
      if (name->bytes == target.attribute->bytes) {
        known = value;
        return;
      }
    rt_.grow(128);
    (*space)->attributes.emplace_back(target.attribute, value);
    return;
  }
  const auto items = elements(rt_, value);
  if (items.size() != target.parts.size())
    rt_.fail("cannot unpack " + std::to_string(items.size()) + " values into " + std::to_string(target.parts.size()) + " names");
  for (size_t i = 0; i < items.size(); i++) assign(target.parts[i], items[i]);
}

void Interpreter::execute_set_block(const Stmt& stmt) {
  Value value;
  {
    Scope scope(*this, frame_);
    value = capture(stmt.bodies[0]);
    if (stmt.exprs[0]) value = evaluate_filter(*stmt.exprs[0], &value);
  }
  assign(stmt.targets[0], value);
}

void Interpreter::execute_filter_block(const Stmt& stmt) {
  Scope scope(*this, frame_);
  const Value body = capture(stmt.bodies[0]);
  emit(to_text(rt_, evaluate_filter(*stmt.exprs[0], &body)));
}

Interpreter::Flow Interpreter::execute_scope(const Stmt& stmt) {
  std::vector<Value> values;  // evaluated outside: `with a = 1, b = a` does not see its own a
  for (auto& expr : stmt.exprs) values.push_back(evaluate(*expr));
  Scope scope(*this, frame_);
  for (size_t i = 0; i < values.size(); i++) assign(stmt.targets[i], values[i]);
  return execute(stmt.bodies[0]);
}

Value Interpreter::define_macro(const MacroDefinition& macro) {
  for (Frame* f = frame_; f && !f->captured; f = f->parent) f->captured = true;
  return rt_.callable({Callable::Kind::Macro, macro.name, None{}, &macro, frame_});
}

void Interpreter::execute_call_block(const Stmt& stmt) {
  const Expr& expr = *stmt.exprs[0];
  const Value callee = evaluate(*expr.children[0]);
  Arguments arguments = evaluate_arguments(expr);
  arguments.push_back({rt_.text("caller"), define_macro(*stmt.macro)});
  emit(to_text(rt_, call(callee, std::move(arguments))));
}

}  // namespace infernum::jinja
