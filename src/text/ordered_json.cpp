#include "text/ordered_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/check.h"

namespace infernum {
namespace {

using Json = nlohmann::ordered_json;

/// Takes the parser's events. Containers that are still open stand on a stack of their own and move into their parent once complete.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const char* what) : what_(what) {}

  Json root;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }  // no JSON text has one
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    fail((std::string(what_) + ": not valid JSON").c_str(), e.what());
  }

 private:
  struct Open {
    Json value;
    std::string key;                                   // of the member that comes next
    std::unordered_map<std::string, size_t> position;  // of every key, once there are many
  };
  static constexpr size_t few = 16;

  bool open(Json container) {
    if (open_.size() >= max_ordered_json_depth)
      fail((std::string(what_) + ": nested deeper than").c_str(), max_ordered_json_depth, "levels");
    open_.push_back({std::move(container), {}, {}});
    return true;
  }

  bool close() {
    Json done = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(done));
  }

  bool add(Json value) {
    if (open_.empty()) {
      root = std::move(value);
    } else if (Open& parent = open_.back(); parent.value.is_array()) {
      parent.value.push_back(std::move(value));
    } else {
      std::vector<Json::object_t::value_type>& members = parent.value.get_ref<Json::object_t&>();
      const size_t at = position_of(parent, members);
      if (at < members.size())
        members[at].second = std::move(value);
      else
        members.emplace_back(std::move(parent.key), std::move(value));
    }
    return true;
  }

  /// Where the coming key is, or members.size() if it is new; then it is noted.
  static size_t position_of(Open& parent, const std::vector<Json::object_t::value_type>& members) {
    if (members.size() < few) {
      size_t at = 0;
      while (at < members.size() && members[at].first != parent.key) at++;
      return at;
    }
    if (parent.position.empty())
      for (size_t i = 0; i < members.size(); i++) parent.position.emplace(members[i].first, i);
    return parent.position.emplace(parent.key, members.size()).first->second;
  }

  const char* what_;
  std::vector<Open> open_;
};

}  // namespace

nlohmann::ordered_json parse_ordered_json(std::string_view text, const char* what) {
  Builder builder(what);
  Json::sax_parse(text, &builder);
  return std::move(builder.root);
}

}  // namespace infernum
