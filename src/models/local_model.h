// LocalModel<Backend, Net>: a network on one rank of this machine, or on several that are threads of this process.
#pragma once
#include <exception>
#include <optional>

#include "layers/weights.h"
#include "models/model.h"
#include "models/open_queue.h"
#include "models/step_runner.h"

namespace infernum {

/// What the runtime needs to know of a network.
template <class Config, class Net>
ModelInfo describe_model(std::string_view family, const Config& c, const Net& net, const ModelOptions& options) {
  ModelInfo m{std::string(family),
              c.vocab_size,
              c.hidden_size,
              c.num_hidden_layers,
              c.context,
              c.tie_word_embeddings,
              options.ranks,
              options.cache_dtype,
              {},
              {},
              {}};
  m.set_states(net.states());
  return m;
}

template <class B, class Net>
class LocalModel : public Model {
 public:
  template <class Config>
  LocalModel(std::string_view family, const Config& config, WeightSource& source, const ModelOptions& options)
      : rank_threads_(options.ranks), memory_utilization_(options.gpu_memory_utilization) {
    for (int r = 0; r < options.ranks; r++) {
      auto& rank = ranks_.emplace_back(std::make_unique<Rank>());
      rank->queue = open_queue<B>(options, r);
      rank->device = {rank->queue.get(), r, options.ranks, options.fusion, activation_dtype<B>(options), options.cache_dtype, {}, {}, {}};
      rank->net.emplace(Weights<B>(rank->device, source), config);
    }
    info_ = describe_model(family, config, *ranks_[0]->net, options);
    blocks_.resize(info_.groups.size());
  }

  const ModelInfo& info() const override { return info_; }

  void allocate_cache(const std::vector<int64_t>& blocks) override {
    check(blocks.size() == info_.groups.size(), "cache: a number of blocks per group of layers", blocks.size(), info_.groups.size());
    blocks_ = blocks;
    for (auto& rank : ranks_) {
      rank->run.reset();
      rank->states.clear();
      for (size_t i = 0; i < info_.states.size(); i++) {
        LayerState<B>& state = rank->states.emplace_back();
        state.group = info_.state_group[i];
        for (const StatePart& part : info_.states[i].parts)
          state.parts.push_back(zeros(rank->device, part.block.prepended(blocks[static_cast<size_t>(state.group)]),
                                      part.exact ? DType::F32 : rank->device.cache_dtype));
      }
    }
  }

  std::vector<float> forward(const HostBatch& batch) override {
    check_batch(batch, info_, blocks_);
    if (ranks_.size() == 1) return run(*ranks_[0], batch);
    if constexpr (std::same_as<B, Cpu>) return run_ranks(batch);
    fail("several ranks run on the CPU alone", ranks_.size());
  }

  int64_t device_memory_left() const override {
    if constexpr (requires(Queue<B> & q) { memory_left(q, 1.); }) return memory_left(*ranks_[0]->queue, memory_utilization_);
    return 0;
  }
  void observe(Observer observer) override { ranks_[0]->device.observer = on_host(std::move(observer)); }
  void observe_ops(Observer observer) override { ranks_[0]->device.op_observer = on_host(std::move(observer)); }
  void time_ops(OpTimer timer) override { ranks_[0]->device.op_timer = std::move(timer); }

 private:
  struct Rank {
    std::unique_ptr<Queue<B>> queue;
    Device<B> device;
    std::optional<Net> net;
    std::vector<LayerState<B>> states;
    StepRunner<B, Net> run;
  };

  /// An observer of views from one of host values; none from none.
  std::function<void(std::string_view, const View<B>&)> on_host(Observer observer) {
    if (!observer) return nullptr;
    return [observer = std::move(observer), queue = ranks_[0]->queue.get()](std::string_view name, const View<B>& v) {
      const bool readable = is_float(v.dtype) || v.dtype == DType::I32;
      if (readable) observer(name, std::vector<int64_t>(v.size, v.size + v.rank), to_host(*queue, v));
    };
  }

  std::vector<float> run(Rank& rank, const HostBatch& b) { return rank.run(rank.device, *rank.net, rank.states, b); }

  /// One thread per rank. When a rank fails, the others give up at their next collective and its error comes back.
  std::vector<float> run_ranks(const HostBatch& batch) {
    RankGroup group(static_cast<int>(ranks_.size()));
    std::vector<float> logits;
    rank_threads_.run([&](int r) {
      try {
        Rank& rank = *ranks_[static_cast<size_t>(r)];
        rank.queue->group = &group;
        auto result = run(rank, batch);
        if (r == 0) logits = std::move(result);
      } catch (...) {
        group.leave(std::current_exception());
        throw;
      }
    });
    return logits;
  }

  ModelInfo info_;
  ThreadPool rank_threads_;
  double memory_utilization_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<int64_t> blocks_;
};

}  // namespace infernum
