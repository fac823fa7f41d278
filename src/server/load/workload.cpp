#include "server/load/workload.h"

#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace infernum::load {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t most_prompt_tokens = 16 << 20;

// Short and common, so that most tokenizers have each as one token.
constexpr std::array<std::string_view, 64> word_list{
    "the",   "and",   "of",   "to",    "in",    "it",   "was",   "for",   "on",    "with", "he",   "she",   "they",
    "at",    "by",    "from", "had",   "but",   "not",  "all",   "one",   "time",  "day",  "man",  "house", "water",
    "tree",  "road",  "hand", "light", "night", "bird", "said",  "went",  "came",  "saw",  "made", "took",  "found",
    "gave",  "new",   "old",  "good",  "long",  "high", "small", "great", "white", "into", "over", "under", "after",
    "where", "there", "then", "while", "year",  "home", "name",  "line",  "city",  "king", "book", "game"};

double number(std::string_view text, std::string_view all) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= most_prompt_tokens,
        "lengths: N, LOW-HIGH or normal:MEAN:DEVIATION, up to 16777216:", all);
  return value;
}

/// 0 to below 1, the same for a seed whatever the library.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

/// `n` words, or ids where the workload asks for them.
Json made_up(const Workload& workload, int64_t n, std::mt19937_64& random) {
  if (workload.ids_below > 0) {
    Json ids = Json::array();
    for (int64_t i = 0; i < n; i++) ids.push_back(static_cast<int64_t>(uniform(random) * static_cast<double>(workload.ids_below)));
    return ids;
  }
  std::string text;
  for (int64_t i = 0; i < n; i++) (text += i ? " " : "") += random_word(random);
  return text;
}

Json joined(const Json& prefix, const Json& rest) {
  if (prefix.is_string())
    return prefix.get<std::string>() + (prefix.get_ref<const std::string&>().empty() ? "" : " ") + rest.get<std::string>();
  Json all = prefix;
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

/// An object with prompt or messages for each line that is not empty.
std::vector<Json> read_prompts(const std::string& path) {
  std::ifstream file(path);
  check(file.good(), "load client: cannot read", path);
  const bool objects = path.size() > 6 && path.compare(path.size() - 6, 6, ".jsonl") == 0;
  std::vector<Json> prompts;
  int number_of_line = 0;
  for (std::string line; std::getline(file, line);) {
    number_of_line++;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    Json item = objects ? Json::parse(line, nullptr, false) : Json{{"prompt", line}};
    check(item.is_object() && (item.contains("prompt") || item.contains("messages")),
          "load client: a line of a .jsonl file is an object with prompt or messages:", path, number_of_line);
    prompts.push_back(std::move(item));
  }
  check(!prompts.empty(), "load client: no prompt in", path);
  return prompts;
}

/// The form that the endpoint takes.
void add_prompt(Json& body, Json& item, bool chat, const std::string& path) {
  if (!chat) {
    check(item.contains("prompt"), "load client: completions need prompt, not messages:", path);
    body["prompt"] = std::move(item["prompt"]);
  } else if (item.contains("messages")) {
    body["messages"] = std::move(item["messages"]);
  } else {
    body["messages"] = Json::array({{{"role", "user"}, {"content", std::move(item["prompt"])}}});
  }
}

}  // namespace

std::string_view random_word(std::mt19937_64& random) { return word_list[random() % word_list.size()]; }

Lengths::Lengths(std::string_view text) {
  if (text.substr(0, 7) == "normal:") {
    const std::string_view rest = text.substr(7);
    const size_t colon = rest.find(':');
    check(colon != std::string_view::npos, "lengths: N, LOW-HIGH or normal:MEAN:DEVIATION, up to 16777216:", text);
    kind_ = Kind::Normal;
    first_ = number(rest.substr(0, colon), text);
    second_ = number(rest.substr(colon + 1), text);
    return;
  }
  const size_t dash = text.find('-');
  first_ = number(text.substr(0, dash), text);
  second_ = dash == std::string_view::npos ? first_ : number(text.substr(dash + 1), text);
  check(first_ >= 1 && first_ <= second_, "lengths: at least 1, and the first not above the second:", text);
}

int64_t Lengths::sample(std::mt19937_64& random) const {
  if (kind_ == Kind::Uniform) return static_cast<int64_t>(first_ + std::floor(uniform(random) * (second_ - first_ + 1)));
  // Box and Muller, one of the pair.
  const double radius = std::sqrt(-2 * std::log1p(-uniform(random)));
  const double value = first_ + second_ * radius * std::cos(2 * 3.14159265358979323846 * uniform(random));
  return std::max<int64_t>(1, std::llround(value));
}

std::vector<std::string> make_bodies(const Workload& workload) {
  check(workload.ids_below == 0 || !workload.chat, "load client: a chat takes words, no token ids");
  check(workload.requests >= 1 && workload.requests <= 10'000'000, "load client: 1 to 10000000 requests:", workload.requests);
  std::mt19937_64 random(workload.seed);
  const Lengths input(workload.input_len), output(workload.output_len);
  const Json extra = workload.extra_body.empty() ? Json::object() : Json::parse(workload.extra_body, nullptr, false);
  check(extra.is_object(), "load client: the extra body is no JSON object:", workload.extra_body);
  std::vector<Json> prompts;
  if (!workload.prompts_file.empty()) prompts = read_prompts(workload.prompts_file);
  const Json prefix = made_up(workload, workload.shared_prefix, random);
  std::vector<std::string> bodies;
  bodies.reserve(static_cast<size_t>(workload.requests));
  for (int64_t i = 0; i < workload.requests; i++) {
    Json body;
    if (!workload.model.empty()) body["model"] = workload.model;
    Json item;
    if (prompts.empty())
      item["prompt"] = joined(prefix, made_up(workload, input.sample(random), random));
    else
      item = prompts[static_cast<size_t>(i) % prompts.size()];
    body["max_tokens"] = item.contains("max_tokens") ? item["max_tokens"] : Json(output.sample(random));
    add_prompt(body, item, workload.chat, workload.prompts_file);
    body["stream"] = workload.stream;
    if (workload.stream) body["stream_options"] = {{"include_usage", true}};
    if (workload.ignore_eos) body["ignore_eos"] = true;
    body.update(extra);
    bodies.push_back(body.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return bodies;
}

}  // namespace infernum::load
