// `infernum perplexity`: of a text, by llama.cpp's method: consecutive windows of `context` tokens, of which the second half counts. Where
// texts of the model begin with BOS, so does every window, in place of its first token.
#include <cmath>
#include <cstdio>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "options.h"
#include "runtime/executor.h"
#include "runtime/sampler.h"
#include "session.h"
#include "text/load_text.h"

namespace infernum::app {

int perplexity(const PerplexityFlags& flags) {
  Session session(flags);
  const Tokenizer tokenizer = load_tokenizer(session.checkpoint);
  std::string text = read_text_file(flags.file, int64_t{1} << 30);
  if (flags.bytes > 0 && flags.bytes < static_cast<int64_t>(text.size())) text.resize(static_cast<size_t>(flags.bytes));
  const std::vector<int32_t> ids = encode_plain(session.checkpoint, tokenizer, text);
  const int64_t context = flags.context, windows = static_cast<int64_t>(ids.size()) / context;
  check(context >= 4 && context <= session.model->info().context, "perplexity: --context lies between 4 and the model's context", context,
        session.model->info().context);
  check(windows > 0, "perplexity: the text is shorter than one context", "tokens", ids.size(), "context", context);
  const bool begins_with_bos = tokenizer.bos_id() && ids.front() == *tokenizer.bos_id();
  CachePools pools(*session.model, context, 1);
  double sum = 0, squares = 0;
  int64_t count = 0;
  for (int64_t w = 0; w < windows; w++) {
    SequenceCache cache(pools);
    check(cache.reserve(context), "perplexity: cache too small");
    std::vector<int32_t> tokens(ids.begin() + w * context, ids.begin() + (w + 1) * context);
    if (begins_with_bos) tokens[0] = *tokenizer.bos_id();
    const StepItem item{&cache, tokens, 0, StepItem::Logits::All};
    StepLogits logits = run_step(*session.model, std::span(&item, 1));
    for (int64_t i = context / 2; i + 1 < context; i++) {
      const double nll = -static_cast<double>(logprob_of(logits.row(i), tokens[static_cast<size_t>(i + 1)]).logprob);
      check(std::isfinite(nll), "perplexity: the model returned NaN or infinity; `infernum verify` finds the layer", "window", w,
            "position", i);
      sum += nll;
      squares += nll * nll;
      count++;
    }
    if (w % 16 == 15)
      std::fprintf(stderr, "%lld of %lld windows: %.4f\n", static_cast<long long>(w + 1), static_cast<long long>(windows),
                   std::exp(sum / static_cast<double>(count)));
  }
  const double n = static_cast<double>(count), mean = sum / n,
               error = std::sqrt(std::max(0., squares / n - mean * mean) / (n - 1)) * std::exp(mean);
  std::printf("perplexity %.4f +- %.4f (%lld tokens, %lld windows of %lld)\n", std::exp(mean), error, static_cast<long long>(count),
              static_cast<long long>(windows), static_cast<long long>(context));
  return 0;
}

}  // namespace infernum::app
