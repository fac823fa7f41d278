// JSON text written piece by piece into a string: no tree in between, since a streamed token costs one small document.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace infernum::server {

/// The inside of a JSON string, without its quotes: quotes, backslashes and control characters escaped (C1 too, so that no terminal obeys
/// them), U+2028 and U+2029 too (they end lines in JavaScript), all other UTF-8 as it is.
void append_escaped(std::string& out, std::string_view text);
/// In quotes.
void append_string(std::string& out, std::string_view text);
/// In quotes, of any bytes: what is not UTF-8 becomes U+FFFD.
void append_untrusted_string(std::string& out, std::string_view bytes);
void append_number(std::string& out, int64_t value);
/// The shortest digits that read back as this number; -9999 for minus infinity, which JSON lacks, and null for NaN.
void append_number(std::string& out, float value);
void append_number(std::string& out, double value);

/// Commas and quotes of nested objects and lists. What is written between the calls is the caller's.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_list() { return open('['); }
  JsonWriter& end_list() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view text);
  JsonWriter& number(int64_t value);
  JsonWriter& number(double value);
  JsonWriter& number(float value);
  JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& null() { return raw("null"); }
  /// A whole JSON value that someone else wrote.
  JsonWriter& raw(std::string_view json);

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string& out_;
  bool first_ = true;  ///< of the object or list that is being written; true behind a key, too
};

}  // namespace infernum::server
