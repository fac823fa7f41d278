// CacheLimit: why no more of a prompt came from the prefix cache.
#pragma once

namespace infernum {

enum class CacheLimit {
  Whole,         ///< all but what has to be computed anyway
  Disabled,      ///< the cache is off, or the request wants the logits of its prompt
  Unseen,        ///< nobody with this salt had these tokens
  Evicted,       ///< it was known once
  StateNotKept,  ///< the tokens are known, but no recurrent state was kept there
};

}  // namespace infernum
