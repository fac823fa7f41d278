// TLS by OpenSSL, on sockets that do not block.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>

#include "core/check.h"
#include "core/log.h"
#include "server/transport.h"

namespace infernum::server {
namespace {

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* session) const { SSL_free(session); }
};

std::string reason() {
  const unsigned long code = ERR_get_error();
  const char* text = ERR_reason_error_string(code);
  ERR_clear_error();
  return text ? text : "unknown reason";
}

class OpenSslSession final : public TlsSession {
 public:
  explicit OpenSslSession(std::unique_ptr<SSL, Free> ssl) : ssl_(std::move(ssl)) {}

  IoResult read(char* to, size_t bytes) override {
    ERR_clear_error();
    size_t n = 0;
    if (SSL_read_ex(ssl_.get(), to, bytes, &n) == 1) return {IoResult::Status::Done, n};
    return verdict(0);
  }
  IoResult write(std::string_view from) override {
    if (from.empty()) return {};
    ERR_clear_error();
    size_t n = 0;
    if (SSL_write_ex(ssl_.get(), from.data(), from.size(), &n) == 1) return {IoResult::Status::Done, n};
    return verdict(0);
  }

 private:
  IoResult verdict(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ: return {IoResult::Status::WantRead, 0};
      case SSL_ERROR_WANT_WRITE: return {IoResult::Status::WantWrite, 0};
      case SSL_ERROR_ZERO_RETURN: return {IoResult::Status::End, 0};
      default:
        // A client that is not let in hears of it by an alert alone, so the operator is told.
        if (!SSL_is_init_finished(ssl_.get()) && ERR_peek_error() != 0 &&
            ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
          log_info("a TLS handshake failed: " + reason());
        ERR_clear_error();
        return {IoResult::Status::Failed, 0};
    }
  }
  std::unique_ptr<SSL, Free> ssl_;
};

class OpenSslContext final : public TlsContext {
 public:
  OpenSslContext(const std::string& certificate, const std::string& key, const std::string& client_ca)
      : context_(SSL_CTX_new(TLS_server_method())) {
    // OpenSSL writes by write(2), which raises SIGPIPE where the client has gone.
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX* c = context_.get();
    check(c && SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1, "TLS cannot be set up", reason());
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    check(SSL_CTX_use_certificate_chain_file(c, certificate.c_str()) == 1, "the TLS certificate cannot be read", certificate, reason());
    check(SSL_CTX_use_PrivateKey_file(c, key.c_str(), SSL_FILETYPE_PEM) == 1, "the TLS key cannot be read or is not the certificate's", key,
          reason());
    check(SSL_CTX_check_private_key(c) == 1, "the TLS key does not belong to the certificate", certificate, key);
    if (!client_ca.empty()) demand_certificates(client_ca);
  }
  std::unique_ptr<TlsSession> accept(int fd) override {
    std::unique_ptr<SSL, Free> ssl(SSL_new(context_.get()));
    check(ssl && SSL_set_fd(ssl.get(), fd) == 1, "a TLS session cannot be set up", reason());
    SSL_set_accept_state(ssl.get());
    return std::make_unique<OpenSslSession>(std::move(ssl));
  }

 private:
  void demand_certificates(const std::string& client_ca) {
    SSL_CTX* c = context_.get();
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(client_ca.c_str());
    check(names && SSL_CTX_load_verify_locations(c, client_ca.c_str(), nullptr) == 1,
          "the certificates of the clients' authorities cannot be read", client_ca, reason());
    SSL_CTX_set_client_CA_list(c, names);  // which takes it over
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Sessions that are taken up again skip the check, so that a certificate would do for longer than its authority is listed.
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(c, 0);
  }

  std::unique_ptr<SSL_CTX, Free> context_;
};

}  // namespace

std::shared_ptr<TlsContext> load_tls(const std::string& certificate_file, const std::string& key_file, const std::string& client_ca_file) {
  return std::make_shared<OpenSslContext>(certificate_file, key_file, client_ca_file);
}

}  // namespace infernum::server
