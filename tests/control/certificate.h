// Certificates made for a test.
#ifndef SLIPWAY_TESTS_CONTROL_CERTIFICATE_H_
#define SLIPWAY_TESTS_CONTROL_CERTIFICATE_H_

#include <string>

namespace slipway {

// Writes a self-signed certificate and its key as PEM. `names` is in OpenSSL's words: "DNS:localhost,IP:127.0.0.1".
void WriteCertificate(const std::string& certificate_file, const std::string& key_file, const std::string& names,
                      long valid_from_s = -3600, long valid_until_s = 3600);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_CONTROL_CERTIFICATE_H_
