// The heap of the template interpreter, and dicts.
#include "text/jinja_value.h"

namespace infernum::jinja {

namespace {
constexpr size_t indexed = 16;  // dicts with more keys than this get a hash index
std::string string_key(std::string_view text) {
  std::string key = "s";
  return key += text;
}
}  // namespace

size_t Dict::position(const std::string& canonical) const {
  if (keys_.size() <= indexed) {
    for (size_t i = 0; i < keys_.size(); i++)
      if (keys_[i] == canonical) return i;
    return keys_.size();
  }
  if (index_.empty())
    for (size_t i = 0; i < keys_.size(); i++) index_.emplace(keys_[i], i);
  auto at = index_.find(canonical);
  return at == index_.end() ? keys_.size() : at->second;
}

const Value* Dict::find(std::string_view key) const {
  if (keys_.size() <= indexed) {
    for (size_t i = 0; i < keys_.size(); i++)
      if (keys_[i].size() == key.size() + 1 && keys_[i][0] == 's' && keys_[i].compare(1, key.size(), key) == 0) return &items_[i].value;
    return nullptr;
  }
  return find_key(string_key(key));
}

const Value* Dict::find_key(const std::string& canonical) const {
  const size_t at = position(canonical);
  return at < items_.size() ? &items_[at].value : nullptr;
}

void Dict::set(Value key, const std::string& canonical, Value value) {
  const size_t at = position(canonical);
  if (at < items_.size()) {
    items_[at].value = std::move(value);
    return;
  }
  items_.push_back({std::move(key), std::move(value)});
  keys_.push_back(canonical);
  if (!index_.empty()) index_.emplace(canonical, at);
}

void Dict::set(const Str& key, Value value) { set(key, string_key(key->bytes), std::move(value)); }

void Dict::erase(const std::string& canonical) {
  const size_t at = position(canonical);
  if (at == items_.size()) return;
  items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(at));
  keys_.erase(keys_.begin() + static_cast<std::ptrdiff_t>(at));
  index_.erase(canonical);
  if (at == items_.size()) return;
  for (auto& [key, place] : index_)
    if (place > at) place--;
}

void Dict::clear() {
  items_.clear();
  keys_.clear();
  index_.clear();
}

void Runtime::iterate() {
  step();
  if (++iterations_ > limits_.loop_iterations) fail("the template loops more than " + std::to_string(limits_.loop_iterations) + " times");
}

void Runtime::check_string(size_t bytes) const {
  if (bytes > limits_.string_bytes) fail("a string would exceed " + std::to_string(limits_.string_bytes) + " bytes");
}

void Runtime::grow(size_t bytes) {
  *bytes_ += bytes;
  if (*bytes_ > limits_.memory_bytes) fail("the template's values exceed " + std::to_string(limits_.memory_bytes) + " bytes");
}

/// Gives its bytes back to the account when the last holder lets go.
struct Runtime::CountedText : Text {
  CountedText(Text&& text, std::shared_ptr<size_t> account) : Text(std::move(text)), account_(std::move(account)), bytes_(cost()) {
    *account_ += bytes_;
  }
  ~CountedText() { *account_ -= bytes_; }
  CountedText(const CountedText&) = delete;
  CountedText& operator=(const CountedText&) = delete;

 private:
  size_t cost() const { return 96 + bytes.capacity() + input.capacity() * sizeof(Range); }
  std::shared_ptr<size_t> account_;
  size_t bytes_;
};

Str Runtime::text(Text text) {
  check_string(text.size());
  step(text.size() / 64);
  auto made = std::make_shared<const CountedText>(std::move(text), bytes_);
  grow(0);
  return made;
}

List* Runtime::list(std::vector<Value> items, ListKind kind) {
  grow(sizeof(List) + items.capacity() * sizeof(Value));
  step(items.size() / 8);
  auto made = std::make_unique<List>();
  made->kind = kind;
  made->items = std::move(items);
  return lists_.emplace_back(std::move(made)).get();
}

Dict* Runtime::dict() {
  grow(sizeof(Dict) + 64);
  return dicts_.emplace_back(std::make_unique<Dict>()).get();
}

void Runtime::append(List& list, Value value) {
  grow(2 * sizeof(Value));
  list.items.push_back(std::move(value));
}

void Runtime::set(Dict& dict, const Value& key, Value value) {
  const std::string canonical = key_of(*this, key);
  grow(2 * (sizeof(Dict::Item) + sizeof(std::string) + canonical.size()) + 64);
  dict.set(key, canonical, std::move(value));
}

Namespace* Runtime::name_space() {
  grow(sizeof(Namespace) + 256);
  return namespaces_.emplace_back(std::make_unique<Namespace>()).get();
}

Callable* Runtime::callable(Callable made) {
  grow(sizeof(Callable) + 64);
  return callables_.emplace_back(std::make_unique<Callable>(std::move(made))).get();
}

Loop* Runtime::loop() {
  grow(sizeof(Loop) + 64);
  return loops_.emplace_back(std::make_unique<Loop>()).get();
}

}  // namespace infernum::jinja
