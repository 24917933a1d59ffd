// Not a test: how fast the plugin alone is, without an engine, for comparison with ib_write_bw -F -D.
//
//   rdma_verbs_measure write|read BYTES DEPTH SECONDS poll|sleep [CONFIG]
#include <cstdio>
#include <cstdlib>

#include "tests/plugins/rdma-verbs/harness.h"

int main(int argc, char** argv) {
  using namespace slipway::rdma;
  if (argc < 6) {
    std::fprintf(stderr, "write|read BYTES DEPTH SECONDS poll|sleep [CONFIG]\n");
    return 2;
  }
  const uint32_t op = argv[1][0] == 'r' ? SLIPWAY_OP_READ : SLIPWAY_OP_WRITE;
  const uint64_t bytes = std::strtoull(argv[2], nullptr, 0), depth = std::strtoull(argv[3], nullptr, 0);
  const double seconds = std::strtod(argv[4], nullptr);
  const bool sleep = argv[5][0] == 's';
  Wire w(argc > 6 ? argv[6] : R"({"lanes": 1})", bytes * depth);
  pollfd fd{Table().event_fd(w.initiator.channel), POLLIN, 0};
  const auto start = Clock::now(),
             end = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  uint64_t finished = 0, submitted = 0, polls = 0;
  const auto submit = [&] {
    if (w.initiator.Submit(submitted, w.Piece(op, submitted % depth * bytes, bytes)) == SLIPWAY_OK) ++submitted;
  };
  for (uint64_t i = 0; i < depth; ++i) submit();
  while (finished < submitted) {
    slipway_completion c[64];
    uint32_t n = 0;
    Table().poll(w.initiator.channel, c, sizeof(c[0]), 64, &n);
    ++polls;
    for (uint32_t i = 0; i < n; ++i) {
      if (c[i].status != SLIPWAY_OK) return 1;
      ++finished;
      if (Clock::now() < end) submit();
    }
    if (n == 0 && sleep) poll(&fd, 1, 1000);
  }
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("%s %llu bytes, %llu in flight, %s: %.1f MB/s, %.0f slices/s, %llu polls, %llu events\n", argv[1],
              static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(depth), argv[5],
              static_cast<double>(finished * bytes) / took / 1e6, static_cast<double>(finished) / took,
              static_cast<unsigned long long>(polls),
              static_cast<unsigned long long>(w.initiator.Stat("completion_events")));
  return 0;
}
