// The files of the chat page, which the build embeds in the binary (cmake/web.cmake); without npm it is one page that says so.
#pragma once
#include <span>
#include <string_view>

namespace infernum {

/// A file of the page. All views are of static storage.
struct WebFile {
  std::string_view path;  ///< as requested: "/" is the page itself, the others are "/assets/..."
  std::string_view content_type;
  std::string_view bytes;
  std::string_view gzip;  ///< the same compressed; empty where that saves nothing
  std::string_view etag;  ///< weak, quotes included, so that it holds for both encodings
  bool immutable;         ///< the name carries a hash of the content: may be cached for ever
};

/// Every file of the page, "/" first.
std::span<const WebFile> web_files();

/// The policy to send with each of them: scripts, styles and requests of this origin alone, nothing in line, no frames.
inline constexpr std::string_view content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace infernum
