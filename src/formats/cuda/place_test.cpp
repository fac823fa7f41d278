// Weights on a CUDA device: the bytes that were stored, lists in one allocation, and once what is placed twice.
#include <cuda_runtime_api.h>

#include "formats/place.h"
#include "ops/cuda_test_support.h"
#include "quant/quant.h"

namespace infernum {
namespace {

StoredTensor stored(DType dtype, const Shape& shape, int seed) {
  const int64_t bytes = bytes_of(dtype, shape.elements());
  const auto memory = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes) + 1);
  std::mt19937 rng(static_cast<unsigned>(seed));
  for (std::byte& b : *memory) b = static_cast<std::byte>(rng());
  return {"w", dtype, shape, memory->data() + 1, bytes, memory, nullptr};  // at an odd address, as old files have them
}

std::vector<std::byte> bytes_on(Queue<Cuda>& queue, const Tensor<Cuda>& t) {
  std::vector<std::byte> out(static_cast<size_t>(bytes_of(t.dtype(), t.shape().elements())));
  EXPECT_EQ(cudaMemcpyAsync(out.data(), t.storage().get(), out.size(), cudaMemcpyDeviceToHost, queue.stream), cudaSuccess);
  queue.synchronize();
  return out;
}

std::vector<std::byte> bytes_of_file(const StoredTensor& t) { return {t.span().begin(), t.span().end()}; }

TEST(PlaceCuda, CopiesWhatIsStored) {
  test::on_cuda([](auto& on) {
    for (auto [dtype, shape] : {std::pair{DType::BF16, Shape{3, 7}},
                                {DType::F32, Shape{5}},
                                {DType::Q6_K, Shape{5, 512}},
                                {DType::MXFP4, Shape{3, 96}},
                                {DType::I64, Shape{4}},
                                {DType::Q8_0, Shape{300, 65536}}}) {
      const StoredTensor t = stored(dtype, shape, 1);
      for (const auto& placed : {place(on.device, t), place_blocks(on.device, t)}) {
        EXPECT_EQ(placed.shape(), shape);
        EXPECT_EQ(placed.dtype(), dtype);
        EXPECT_EQ(bytes_on(on.queue, placed), bytes_of_file(t)) << describe(dtype);
      }
    }
  });
}

TEST(PlaceCuda, HoldsOnceWhatIsPlacedTwice) {
  test::on_cuda([](auto& on) {
    const StoredTensor t = stored(DType::Q8_0, {4, 64}, 1), other = stored(DType::Q8_0, {4, 64}, 2);
    const auto first = place(on.device, t), second = place_blocks(on.device, t), third = place(on.device, other);
    EXPECT_EQ(first.storage(), second.storage());
    EXPECT_NE(first.storage(), third.storage());
    StoredTensor owned_by_others = t;
    owned_by_others.owner = std::make_shared<int>(0);
    EXPECT_NE(place(on.device, owned_by_others).storage(), first.storage()) << "other data at the same address";
    owned_by_others.owner = nullptr;
    EXPECT_NE(place(on.device, owned_by_others).storage(), place(on.device, owned_by_others).storage());
  });
}

TEST(PlacedWeights, ForgetsWhatNobodyHolds) {
  PlacedWeights placed;
  const std::shared_ptr<const void> owner = std::make_shared<int>(0);
  auto memory = std::make_shared<int>(1);
  placed.remember(owner.get(), 4, owner, memory);
  EXPECT_EQ(placed.find(owner.get(), 4, owner), memory);
  EXPECT_EQ(placed.find(owner.get(), 8, owner), nullptr);
  memory.reset();
  EXPECT_EQ(placed.find(owner.get(), 4, owner), nullptr);
  memory = std::make_shared<int>(2);
  placed.remember(owner.get(), 4, owner, memory);
  EXPECT_EQ(placed.find(owner.get(), 4, owner), memory);
}

TEST(PlaceCuda, ListsLieOneBehindTheOther) {
  test::on_cuda([](auto& on) {
    for (auto [dtype, shape] : {std::pair{DType::BF16, Shape{3, 7}}, {DType::MXFP4, Shape{3, 96}}, {DType::Q4_K, Shape{5, 512}}}) {
      std::vector<StoredTensor> list;
      for (int e = 0; e < 4; e++) list.push_back(stored(dtype, shape, e));
      const auto placed = place_blocks(on.device, list);
      const auto views = placed.views();
      const auto at = [&](size_t e) { return static_cast<const std::byte*>(views[e].data); };
      for (size_t e = 0; e < 4; e++) {
        EXPECT_EQ(at(e) - at(0), static_cast<int64_t>(e) * (at(1) - at(0)));
        EXPECT_EQ(reinterpret_cast<uintptr_t>(at(e)) % 256, 0);
        const Tensor<Cuda> matrix(on.device, shape, dtype, std::shared_ptr<void>(views[e].data, [](void*) {}));
        EXPECT_EQ(bytes_on(on.queue, matrix), bytes_of_file(list[e]));
      }
      list.back().shape = {shape[0] + 1, shape[1]};
      EXPECT_NE(test::error_of([&] { place_blocks(on.device, list); }).find("one shape"), std::string::npos);
    }
  });
}

TEST(PlaceCuda, ConvertsToF32) {
  test::on_cuda([](auto& on) {
    for (DType dtype : {DType::F32, DType::F16, DType::BF16, DType::Q8_0}) {
      StoredTensor t = stored(dtype, {2, 64}, 1);
      std::vector<float> values = test::random_values(128, 2), want(128);
      const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(t.bytes));
      quantize(dtype, values.data(), bytes->data(), 128);
      t.data = bytes->data(), t.owner = bytes;
      dequantize(dtype, t.data, want.data(), 128);
      EXPECT_EQ(on.values(place_f32(on.device, t)), want);
      for (float& v : want) v += 1;
      EXPECT_EQ(on.values(place_f32(on.device, t, 1)), want);
    }
    EXPECT_NE(test::error_of([&] { place_f32(on.device, stored(DType::I32, {4}, 1)); }).find("no conversion"), std::string::npos);
  });
}

TEST(PlaceCuda, RefusesTensorsWithoutData) {
  test::on_cuda([](auto& on) {
    StoredTensor t = stored(DType::F32, {4}, 1);
    t.data = nullptr;
    for (const auto& action :
         {std::function<void()>([&] { place(on.device, t); }), std::function<void()>([&] { place_f32(on.device, t); })})
      EXPECT_NE(test::error_of(action).find("only the header"), std::string::npos);
  });
}

}  // namespace
}  // namespace infernum
