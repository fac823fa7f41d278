// A file mapped read-only into memory: pages are read when first touched and may be handed back to the system at any time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace infernum {

enum class PageAdvice { WillNeed, DontNeed };

/// Owner of the mapping and of the open file. Every error names the file.
class MappedFile {
 public:
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  static std::shared_ptr<const MappedFile> open(std::string path) { return std::make_shared<const MappedFile>(std::move(path)); }

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }

  /// Reading ahead, or dropping pages that will be read from the file again if touched; `part` lies inside bytes().
  void advise(std::span<const std::byte> part, PageAdvice advice) const;

  /// Throws if the file was truncated, grown or rewritten since it was opened (touching pages past the end of a
  /// truncated file raises SIGBUS, so call this before a long pass over the data).
  void check_unchanged() const;

 private:
  std::string path_;
  int file_ = -1;
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
  int64_t modified_ns_ = 0;
};

}  // namespace infernum
