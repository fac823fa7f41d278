// BlasLt::search(): products stay right with what it finds, and the file that keeps it is read again, whatever lies in it.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "backends/cuda/blas_lt.h"
#include "ops/cuda/matmul_test_data.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

constexpr int64_t n = 96, k = 256, searched[] = {9, 16};

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}
int64_t lines_of(const std::string& file) {
  const std::string text = text_of(file);
  return std::count(text.begin(), text.end(), '\n');
}

void expect_products(Queue<Cuda>& queue, const TestMatrix& w, const OnDevice& w_device) {
  for (int64_t m : {9, 12, 16, 33}) {
    const TestMatrix x = random_floats(w.type, m, k, 4);
    TestMatrix y = poisoned(w.type, m, n);
    const OnDevice x_device = to_device(queue, x), y_device = to_device(queue, y);
    kernel(MatMul{}, queue, view_of(y_device, y), view_of(x_device, x), view_of(w_device, w));
    y.bytes = y_device.read();
    std::vector<int64_t> rows;
    for (int64_t t = 0; t < m; t++) rows.push_back(t);
    expect_rows(y, x, w, rows, std::vector<int64_t>(rows.size(), 0), {false, 0});
  }
}

TEST(BlasLtCuda, SearchesOnceAndRemembers) {
  test::on_cuda([](auto& on) {
    const std::string folder = testing::TempDir() + "infernum_blas_" + std::to_string(getpid()), file = folder + "/findings";
    std::filesystem::remove_all(folder);
    const TestMatrix w = random_floats(DType::BF16, n, k, 1);
    const OnDevice w_device = to_device(on.queue, w), other = to_device(on.queue, w);
    const std::vector<View<Cuda>> matrices{view_of(w_device, w), view_of(other, w)};
    const auto search = [&] {
      BlasLt blas;
      blas.search(on.queue, matrices, DType::BF16, DType::BF16, searched, file);
      on.queue.blas().search(on.queue, matrices, DType::BF16, DType::BF16, searched, file);
    };
    search();
    EXPECT_EQ(lines_of(file), 2) << text_of(file);
    expect_products(on.queue, w, w_device);
    search();
    EXPECT_EQ(lines_of(file), 2) << "a finding was not read";
    // Findings that were not written to their end or changed are searched for again.
    std::istringstream in(text_of(file));
    std::string cut, changed;
    std::getline(in, cut);
    std::getline(in, changed);
    cut.resize(cut.rfind(' '));
    changed.back() = changed.back() == '0' ? '1' : '0';
    std::ofstream(file) << "\n \nnonsense\n" << cut << "\n" << changed << "\n";
    search();
    EXPECT_EQ(lines_of(file), 7) << text_of(file);
    expect_products(on.queue, w, w_device);
    // No file, and one that cannot be written.
    on.queue.blas().search(on.queue, matrices, DType::BF16, DType::BF16, searched, "");
    on.queue.blas().search(on.queue, matrices, DType::BF16, DType::F32, searched, "/proc/nowhere/findings");
    expect_products(on.queue, w, w_device);
    std::filesystem::remove_all(folder);
  });
}

TEST(BlasLtCuda, NamesTheFileInTheCacheFolder) {
  const std::string file = blas_findings_file();
  if (std::getenv("HOME") || std::getenv("XDG_CACHE_HOME")) {
    EXPECT_NE(file.find("/infernum/blas_findings"), std::string::npos);
  }
}

}  // namespace
}  // namespace infernum
