#include "tools/slipway/bench/peer_output.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

namespace slipway::cli::bench {
namespace {

Status NotUnderstood(const char* program, const std::string& text) {
  return {SLIPWAY_E_BAD_REPLY, std::string("cannot read what ") + program + " prints: " + text.substr(0, 500)};
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> Fields(const std::string& line, char separator) {
  std::vector<std::string> fields;
  std::istringstream stream(line);
  std::string field;
  if (separator == ' ')
    while (stream >> field) fields.push_back(field);
  else
    while (std::getline(stream, field, separator)) fields.push_back(field);
  return fields;
}

// A number above 0 that is all of `text`; 0: it is none.
double Number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && value > 0 && value < 1e18 ? value : 0;
}

}  // namespace

Result<double> ReadIperf(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_string())
    return Status(SLIPWAY_E_PEER, "iperf3: " + json["error"].get<std::string>());
  const nlohmann::json::json_pointer place("/end/sum_received/bits_per_second");
  if (!json.is_object() || !json.contains(place) || !json[place].is_number() || json[place].get<double>() <= 0)
    return NotUnderstood("iperf3", text);
  return json[place].get<double>() / 8;
}

Result<double> ReadUcx(const std::string& text) {
  // iterations, median and average and overall latency in microseconds, ...; a header that begins with a word before.
  for (const std::string& line : Lines(text)) {
    const std::vector<std::string> fields = Fields(line, ',');
    if (fields.size() < 8) continue;
    if (const double overall = Number(fields[3]); overall > 0) return overall / 1e6;
  }
  return NotUnderstood("ucx_perftest", text);
}

Result<double> ReadFabtests(const std::string& text) {
  // bytes, #sent, #ack, total, time, MB/sec, usec/xfer, Mxfers/sec
  for (const std::string& line : Lines(text)) {
    const std::vector<std::string> fields = Fields(line, ' ');
    if (fields.size() != 8 || fields[0] == "bytes") continue;
    if (const double microseconds = Number(fields[6]); microseconds > 0) return microseconds / 1e6;
  }
  return NotUnderstood("fabtests", text);
}

Result<double> ReadPerftest(const std::string& text, uint64_t bytes) {
  // bytes, iterations, peak, average (of 2^20 bytes a second), million messages a second
  for (const std::string& line : Lines(text)) {
    const std::vector<std::string> fields = Fields(line, ' ');
    if (fields.size() != 5 || fields[0] != std::to_string(bytes)) continue;
    if (const double rate = Number(fields[3]); rate > 0) return rate * (1 << 20);
  }
  return NotUnderstood("perftest", text);
}

Result<RdmaDevice> ReadRdmaDevice(const std::string& text) {
  const std::vector<std::string> lines = Lines(text);
  if (lines.empty() || lines[0].empty()) return Status(SLIPWAY_E_DEVICE, "there is no RDMA device here");
  const std::vector<std::string> words = lines.size() > 1 ? Fields(lines[1], ':') : std::vector<std::string>();
  if (words.size() != 8) return Status(SLIPWAY_E_DEVICE, lines[0] + " has no IPv4 address");
  const unsigned long high = std::strtoul(words[6].c_str(), nullptr, 16);
  const unsigned long low = std::strtoul(words[7].c_str(), nullptr, 16);
  std::string address = std::to_string(high >> 8 & 255) + "." + std::to_string(high & 255);
  address += "." + std::to_string(low >> 8 & 255) + "." + std::to_string(low & 255);
  return RdmaDevice{lines[0], address};
}

}  // namespace slipway::cli::bench
