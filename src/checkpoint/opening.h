// How much of a checkpoint has to be there when it is opened.
#pragma once

namespace infernum {

/// HeadersOnly: tensor bytes may be missing (an unfinished download, a fetched header); such tensors have null data.
enum class Opening { Complete, HeadersOnly };

}  // namespace infernum
