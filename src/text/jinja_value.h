// Values of the template interpreter and the heap that owns them during one rendering.
// Containers live until the rendering ends (the heap owns them, values point at them): cycles and deep nests cost nothing
// to destroy. Strings are shared and counted, so that long concatenations release what they replace.
#pragma once
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/chat_template_limits.h"
#include "text/jinja_text.h"

namespace infernum::jinja {

struct None {};
/// A name or attribute that is not there: prints nothing, is false, iterates as empty; all other uses are errors.
struct Undefined {
  Str name;
  const char* owner = nullptr;  // "dict object" of 'dict object' has no attribute 'name'
};
struct List;
class Dict;
struct Callable;
struct Namespace;
struct Loop;
using Value = std::variant<Undefined, None, bool, int64_t, double, Str, List*, Dict*, Namespace*, Callable*, Loop*>;

/// A generator (result of map, select, items ...) is always true, has no length and is empty after one walk.
/// A view (dict.items() ...) has a length but no positions.
enum class ListKind { List, Tuple, Generator, View };
struct List {
  ListKind kind = ListKind::List;
  std::vector<Value> items;
};

/// Insertion-ordered map. Keys are compared by their canonical form (see key_of).
class Dict {
 public:
  struct Item {
    Value key, value;
  };
  const std::vector<Item>& items() const { return items_; }
  const Value* find(std::string_view key) const;
  const Value* find_key(const std::string& canonical) const;
  void set(Value key, const std::string& canonical, Value value);
  void set(const Str& key, Value value);
  void erase(const std::string& canonical);
  void clear();

 private:
  size_t position(const std::string& canonical) const;
  std::vector<Item> items_;
  std::vector<std::string> keys_;                          // canonical forms
  mutable std::unordered_map<std::string, size_t> index_;  // built once there are many keys
};

struct Namespace {
  std::vector<std::pair<Str, Value>> attributes;
};

struct MacroDefinition;  // jinja_ast.h
struct Frame;            // jinja_interpreter.h

struct Callable {
  enum class Kind { Function, Method, Macro };
  Kind kind;
  Str name;
  Value self = None{};                          // of a method
  const MacroDefinition* definition = nullptr;  // of a macro
  Frame* frame = nullptr;                       // where a macro was defined
};

struct Argument {
  Str name;  // null: positional
  Value value;
};
using Arguments = std::vector<Argument>;

/// Memory, limits, place and time of one rendering.
class Runtime {
 public:
  Runtime(const Limits& limits, Dialect dialect, std::time_t now) : limits_(limits), dialect_(dialect), now_(now) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Limits& limits() const { return limits_; }
  Dialect dialect() const { return dialect_; }
  std::time_t now() const { return now_; }
  int line = 1;

  [[noreturn]] void fail(const std::string& message) const { throw TemplateError(line, message); }
  [[noreturn]] void refuse(const std::string& message) const { throw TemplateRefusal(line, message); }
  void step(size_t cost = 1) {
    steps_ += cost;
    if (steps_ > limits_.steps) [[unlikely]]
      fail("the template takes more than " + std::to_string(limits_.steps) + " steps");
  }
  void iterate();
  void check_string(size_t bytes) const;
  void grow(size_t bytes);

  Str text(Text text);
  Str text(std::string_view text) { return this->text(Text(text)); }
  List* list(std::vector<Value> items, ListKind kind = ListKind::List);
  Dict* dict();
  void append(List& list, Value value);
  void set(Dict& dict, const Value& key, Value value);
  Namespace* name_space();
  Callable* callable(Callable made);
  Loop* loop();

  /// Counts one level of the interpreter's recursion while it lives.
  class Deeper {
   public:
    explicit Deeper(Runtime& rt) : rt_(rt) {
      if (++rt_.depth_ > rt_.limits_.depth) {
        rt_.depth_--;
        rt_.fail("the template nests deeper than " + std::to_string(rt_.limits_.depth) + " evaluations");
      }
    }
    ~Deeper() { rt_.depth_--; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Runtime& rt_;
  };

 private:
  struct CountedText;
  Limits limits_;
  Dialect dialect_;
  std::time_t now_;
  size_t steps_ = 0, iterations_ = 0;
  int depth_ = 0;
  std::shared_ptr<size_t> bytes_ = std::make_shared<size_t>(0);  // alive now; outlived by no string
  std::vector<std::unique_ptr<List>> lists_;
  std::vector<std::unique_ptr<Dict>> dicts_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Callable>> callables_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

/// Inside a for: what `loop` knows.
struct Loop {
  List* items = nullptr;
  size_t index = 0;
  int depth = 0;
  Value last_changed = Undefined{};
  Callable* recurse = nullptr;
};

template <class T>
const T* as(const Value& v) {
  return std::get_if<T>(&v);
}
inline bool is_undefined(const Value& v) { return std::holds_alternative<Undefined>(v); }
inline bool is_none(const Value& v) { return std::holds_alternative<None>(v); }

/// "str", "list", "dict" ... as Python names it.
const char* type_name(const Value& v);
std::string describe_undefined(const Undefined& u);

bool truthy(const Value& v);
bool equal(Runtime& rt, const Value& a, const Value& b, int depth = 0);
/// < 0, 0, > 0; values without an order are an error.
int compare(Runtime& rt, const Value& a, const Value& b, int depth = 0);
bool contains(Runtime& rt, const Value& container, const Value& item);
/// Equal keys have equal canonical forms (1, 1.0 and true are one key).
std::string key_of(Runtime& rt, const Value& v, int depth = 0);

/// What `{{ v }}` prints, and Python's repr.
Text to_text(Runtime& rt, const Value& v);
void append_repr(Runtime& rt, Text& out, const Value& v, int depth = 0);
std::string float_text(double x);

/// Elements as a for loop sees them. A generator is empty afterwards.
std::vector<Value> elements(Runtime& rt, const Value& v);
int64_t length(Runtime& rt, const Value& v);

}  // namespace infernum::jinja
