// AllReduce and AllGather among ranks that are threads: the sum and the concatenation, with the same bits on every rank.
#include "ops/collectives.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

/// Runs f(fixture of the rank) on every rank at once.
void on_ranks(int ranks, Isa isa, const std::function<void(test::CpuFixture&)>& f) {
  RankGroup group(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; r++)
    threads.emplace_back([&, r] {
      test::CpuFixture cpu(isa, 2);
      cpu.queue.group = &group;
      cpu.queue.rank = cpu.device.rank = r;
      cpu.device.ranks = ranks;
      f(cpu);
    });
  for (auto& t : threads) t.join();
}

class CollectivesTest : public testing::TestWithParam<std::tuple<Isa, DType, int>> {};

TEST_P(CollectivesTest, ReduceAndGatherEveryPart) {
  const auto [isa, dtype, ranks] = GetParam();
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const Shape shape{rows, cols};
    std::vector<std::vector<float>> parts, sums(static_cast<size_t>(ranks)), gathered(static_cast<size_t>(ranks));
    test::CpuFixture local(isa, 1);
    for (int r = 0; r < ranks; r++) parts.push_back(to_host(local.queue, local.random(shape, dtype, 50 + r).view()));
    on_ranks(ranks, isa, [&, dtype = dtype, rows = rows, cols = cols](test::CpuFixture& cpu) {
      const auto mine = static_cast<size_t>(cpu.device.rank);
      test::poison(cpu.queue, shape, dtype);
      test::poison(cpu.queue, {rows, cols * cpu.device.ranks}, dtype);
      for (int round = 0; round < 3; round++) {  // the group is used again and again
        sums[mine] = to_host(cpu.queue, all_reduce(cpu.tensor<Partial>(shape, dtype, parts[mine])).view());
        gathered[mine] = to_host(cpu.queue, all_gather(cpu.tensor<Shard>(shape, dtype, parts[mine])).view());
      }
    });
    for (size_t i = 0; i < parts[0].size(); i++) {
      double want = 0, size = 0;
      for (const auto& part : parts) want += static_cast<double>(part[i]), size += std::abs(static_cast<double>(part[i]));
      ASSERT_NEAR(sums[0][i], want, std::abs(want) * test::unit_roundoff(dtype) + size * 3e-7) << "element " << i;
      for (const auto& sum : sums) ASSERT_EQ(sum[i], sums[0][i]) << "every rank holds the same bits";
      const size_t n = static_cast<size_t>(cols), row = i / n, column = i % n;
      for (size_t p = 0; p < parts.size(); p++)
        for (const auto& whole : gathered)
          ASSERT_EQ(whole[(row * parts.size() + p) * n + column], parts[p][i]) << "row " << row << " rank " << p;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CollectivesTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16),
                                          testing::Values(2, 3)));

TEST_P(CollectivesTest, TakeShardUndoesAllGather) {
  const auto [isa, dtype, ranks] = GetParam();
  for (const auto& [rows, cols] : test::odd_sizes())
    on_ranks(ranks, isa, [dtype = dtype, rows = rows, cols = cols](test::CpuFixture& cpu) {
      const auto part = cpu.random<Shard>({rows, cols}, dtype, 60 + cpu.device.rank);
      const auto back = take_shard(all_gather(part));
      EXPECT_EQ(back.shape(), part.shape());
      EXPECT_EQ(to_host(cpu.queue, back.view()), to_host(cpu.queue, part.view())) << "rank " << cpu.device.rank;
    });
}

TEST(Collectives, TakeShardNeedsColumnsThatDivide) {
  test::CpuFixture cpu;
  cpu.device.ranks = 2;
  EXPECT_NE(test::error_of([&] {
              take_shard(cpu.random<Full>({2, 3}, DType::F32, 1));
            }).find("divide among the ranks: (2, 3) 2"),
            std::string::npos);
}

TEST(Collectives, OfOneRankMoveTheirArgument) {
  test::CpuFixture cpu;
  auto full = cpu.random<Full>({3, 4}, DType::F32, 1);
  const void* whole = full.view().data;
  EXPECT_EQ(take_shard(std::move(full)).view().data, whole);
  auto part = cpu.random<Partial>({3, 4}, DType::F32, 1);
  auto shard = cpu.random<Shard>({3, 4}, DType::F32, 1);
  const void *a = part.view().data, *b = shard.view().data;
  EXPECT_EQ(all_reduce(std::move(part)).view().data, a);
  EXPECT_EQ(all_gather(std::move(shard)).view().data, b);
}

template <class B>
void collectives_need_a_group(test::Fixture<B>& on) {
  on.device.ranks = 2;
  const auto part = on.template random<Partial>({1, 1}, DType::F32, 1);
  const auto shard = on.template random<Shard>({1, 1}, DType::F32, 1);
  EXPECT_NE(test::error_of([&] { all_reduce(part); }).find("belongs to no group"), std::string::npos);
  EXPECT_NE(test::error_of([&] { all_gather(shard); }).find("belongs to no group"), std::string::npos);
}
TEST(Collectives, NeedAGroup) {
  test::CpuFixture cpu;
  collectives_need_a_group(cpu);
}
TEST(CollectivesCuda, NeedAGroup) {
  test::on_cuda([](auto& on) { collectives_need_a_group(on); });
}

}  // namespace
}  // namespace infernum
