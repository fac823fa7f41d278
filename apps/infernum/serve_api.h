// The model side of `infernum serve`: a loaded model, its engine, and the routes over them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "serve_options.h"
#include "server/http.h"
#include "server/server_metrics.h"

namespace infernum::app {

/// Made on any thread; the rest belongs to the I/O thread. Must go before the loop does.
class ServedApi {
 public:
  virtual ~ServedApi() = default;
  /// Begins to take the engine's events. `metrics` and `on_record` hear of every request.
  virtual std::vector<server::Route> open(server::IoLoop& loop, server::ServerMetrics& metrics,
                                          std::function<void(const server::RequestRecord&)> on_record) = 0;
  virtual EngineStats stats() const = 0;
  /// Further names of the model, in place of those there are. Behind open().
  virtual void set_aliases(std::vector<std::string> aliases) = 0;
  virtual const std::string& model_name() const = 0;
  virtual bool chats() const = 0;  ///< the model has a chat template
  virtual int64_t context() const = 0;
};

/// Loads the model. Takes as long as that takes.
std::unique_ptr<ServedApi> load_api(const ServeFlags& flags);

}  // namespace infernum::app
