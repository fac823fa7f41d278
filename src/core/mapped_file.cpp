#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace infernum {
namespace {

int64_t modification_ns(const struct stat& status) {
  return static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

/// The descriptor of a regular file, with its status; closed again when something is wrong.
int open_regular(const std::string& path, struct stat& status) {
  // Without O_NONBLOCK a named pipe would block until somebody writes to it.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  check(file >= 0, "cannot open file", path, std::strerror(errno));
  const bool known = ::fstat(file, &status) == 0;
  if (known && S_ISREG(status.st_mode)) return file;
  const int error = errno;
  ::close(file);
  if (known) fail("not a regular file", path);
  fail("cannot read the size of file", path, std::strerror(error));
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  file_ = open_regular(path_, status);
  size_ = status.st_size;
  modified_ns_ = modification_ns(status);
  if (size_ == 0) return;  // mmap refuses an empty range
  void* mapped = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE | MAP_NORESERVE, file_, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    ::close(file_);
    fail("cannot map file", path_, size_, "bytes,", std::strerror(error));
  }
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
  ::close(file_);
}

void MappedFile::advise(std::span<const std::byte> part, PageAdvice advice) const {
  if (part.empty()) return;
  const int64_t begin = part.data() - data_, end = begin + static_cast<int64_t>(part.size());
  check(begin >= 0 && end <= size_, "page advice outside the mapped file", path_, begin, end, size_);
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  // Pages shared with a neighbour are read ahead, but not dropped under it.
  const bool drop = advice == PageAdvice::DontNeed;
  const int64_t first = (drop ? begin + page - 1 : begin) / page * page;
  const int64_t last = drop && end != size_ ? end / page * page : end;
  if (first >= last) return;
  // Advice only: a refusal of the system changes speed, not results.
  (void)::madvise(const_cast<std::byte*>(data_) + first, static_cast<size_t>(last - first), drop ? MADV_DONTNEED : MADV_WILLNEED);
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  check(::fstat(file_, &status) == 0, "cannot read the size of file", path_, std::strerror(errno));
  check(status.st_size == size_, "file changed size while it was in use", path_, size_, "->", static_cast<int64_t>(status.st_size));
  check(modification_ns(status) == modified_ns_, "file was written to while it was in use", path_);
}

}  // namespace infernum
