// TLS over a real socket, with a client of OpenSSL.
#include <gtest/gtest.h>

#include <openssl/ssl.h>

#include <cstdlib>
#include <fstream>

#include "core/check.h"
#include "server/test_server.h"
#include "server/transport.h"

namespace infernum::server {
namespace {

using testing::TestClient;
using testing::TestServer;

/// A certificate of its own making, valid for a day.
struct Certificate {
  std::string cert, key;
  explicit Certificate(const std::string& name = "tls")
      : cert(::testing::TempDir() + name + "_cert_" + std::to_string(getpid())),
        key(::testing::TempDir() + name + "_key_" + std::to_string(getpid())) {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -keyout " + key + " -out " +
        cert + " 2>/dev/null";
    made = std::system(command.c_str()) == 0;
  }
  ~Certificate() {
    std::remove(cert.c_str());
    std::remove(key.c_str());
  }
  bool made = false;
};

struct Free {
  void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
  void operator()(SSL* s) const { SSL_free(s); }
};

class TlsClient {
 public:
  TlsClient(int port, int highest_version, const Certificate* own = nullptr) : socket_(port), context_(SSL_CTX_new(TLS_client_method())) {
    if (own) {
      SSL_CTX_use_certificate_chain_file(context_.get(), own->cert.c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), own->key.c_str(), SSL_FILETYPE_PEM);
    }
    SSL_CTX_set_max_proto_version(context_.get(), highest_version);
    SSL_CTX_set_security_level(context_.get(), 0);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    connected = SSL_connect(ssl_.get()) == 1;
  }
  std::string request(std::string_view bytes, std::string_view until) {
    SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    std::string all;
    char part[16384];
    while (all.find(until) == std::string::npos) {
      const int n = SSL_read(ssl_.get(), part, sizeof part);
      if (n <= 0) break;
      all.append(part, static_cast<size_t>(n));
    }
    return all;
  }
  bool connected = false;

 private:
  TestClient socket_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
};

std::vector<Route> routes() {
  return {{"POST", "/echo", Access::Public,
           [](const std::shared_ptr<Exchange>& e) {
             HttpResponse r;
             r.body = e->request().body;
             e->respond(std::move(r));
           },
           false},
          {"GET", "/stream", Access::Public,
           [](const std::shared_ptr<Exchange>& e) {
             e->begin_stream();
             for (int i = 0; i < 100; i++) e->send("data: " + std::to_string(i) + "\n\n");
             e->finish();
           },
           false}};
}

TEST(Tls, AnswersAndStreams) {
  const Certificate certificate;
  ASSERT_TRUE(certificate.made) << "the openssl program is needed";
  TestServer server(routes(), {}, nullptr, load_tls(certificate.cert, certificate.key));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    ASSERT_TRUE(client.connected);
    const std::string body(500000, 'x');
    const std::string answer = client.request(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body, "\r\n\r\n" + body);
    EXPECT_NE(answer.find("200 OK"), std::string::npos);
    EXPECT_NE(answer.find("\r\n\r\n" + body), std::string::npos);
    const std::string stream = client.request("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n0\r\n\r\n");
    EXPECT_NE(stream.find("data: 99\n\n"), std::string::npos);
  }
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected) << "older versions are broken";
  TestClient plain(server.port());
  plain.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(plain.closes_within(3000));
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.connections == 0; }));
}

/// A certificate that signs itself is its own authority.
TEST(Tls, ClientsShowCertificatesWhereTheyAreAskedTo) {
  const Certificate own, client("client"), stranger("stranger");
  TestServer server(routes(), {}, nullptr, load_tls(own.cert, own.key, client.cert));
  const auto answered = [&](int version, const Certificate* certificate) {
    TlsClient c(server.port(), version, certificate);
    return c.request("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n0\r\n\r\n").find("data: 99\n\n") != std::string::npos;
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_TRUE(answered(version, &client));
    EXPECT_FALSE(answered(version, nullptr));
    EXPECT_FALSE(answered(version, &stranger));
  }
  EXPECT_TRUE(server.wait_for([](const HttpStats& s) { return s.connections == 0; }));
}

TEST(Tls, WrongFilesAreNamed) {
  const Certificate one;
  try {
    load_tls(one.cert, one.key, one.key);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(one.key), std::string::npos);
  }
  try {
    load_tls("/nowhere/cert.pem", one.key);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nowhere/cert.pem"), std::string::npos);
  }
  EXPECT_THROW(load_tls(one.cert, one.cert), Error);
}

}  // namespace
}  // namespace infernum::server
