// slipway-libfabric-rma: how fast libfabric's tcp provider reads and writes a peer's memory on this host.
//
// Does what fabtests' fi_rma_bw does, which distributions do not package: a reliable datagram endpoint in each of two
// processes, a window of one-sided operations in flight. The target drives its provider's progress, as libfabric asks
// of it. A write counts when it is in the target's memory (FI_DELIVERY_COMPLETE), as a write of Slipway's does.
// Prints one JSON object. API: libfabric 1.17, fi_endpoint(3), fi_rma(3), fi_mr(3).
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string operation = "write", provider = "tcp";
  uint64_t bytes = 1 << 20;
  uint64_t window = 4;
  double seconds = 1;
};

[[noreturn]] void Die(const char* what, long code) {
  std::fprintf(stderr, "slipway-libfabric-rma: %s: %s\n", what, fi_strerror(static_cast<int>(code < 0 ? -code : code)));
  std::exit(1);
}
void Check(const char* what, long code) {
  if (code != 0) Die(what, code);
}

// What the target tells the initiator.
struct Hello {
  std::array<char, 256> name{};
  uint64_t name_bytes = 0, key = 0, address = 0;
};

struct Side {
  fi_info* info = nullptr;
  fid_fabric* fabric = nullptr;
  fid_domain* domain = nullptr;
  fid_av* av = nullptr;
  fid_cq* cq = nullptr;
  fid_ep* ep = nullptr;
  fid_mr* mr = nullptr;
  std::vector<char> memory;

  explicit Side(const Settings& settings) : memory(settings.bytes * settings.window, 'x') {
    fi_info* hints = fi_allocinfo();
    hints->ep_attr->type = FI_EP_RDM;
    hints->caps = FI_MSG | FI_RMA;
    hints->mode = FI_CONTEXT;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->fabric_attr->prov_name = strdup(settings.provider.c_str());
    Check("fi_getinfo", fi_getinfo(FI_VERSION(1, 17), "127.0.0.1", nullptr, FI_SOURCE, hints, &info));
    fi_freeinfo(hints);
    Check("fi_fabric", fi_fabric(info->fabric_attr, &fabric, nullptr));
    Check("fi_domain", fi_domain(fabric, info, &domain, nullptr));
    fi_av_attr av_attr{};
    av_attr.type = FI_AV_TABLE;
    Check("fi_av_open", fi_av_open(domain, &av_attr, &av, nullptr));
    fi_cq_attr cq_attr{};
    cq_attr.format = FI_CQ_FORMAT_CONTEXT;
    cq_attr.size = 1024;
    Check("fi_cq_open", fi_cq_open(domain, &cq_attr, &cq, nullptr));
    Check("fi_endpoint", fi_endpoint(domain, info, &ep, nullptr));
    Check("fi_ep_bind", fi_ep_bind(ep, &av->fid, 0));
    Check("fi_ep_bind", fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV));
    Check("fi_enable", fi_enable(ep));
    Check("fi_mr_reg", fi_mr_reg(domain, memory.data(), memory.size(),
                                 FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE, 0, 1, 0, &mr, nullptr));
  }

  void* desc() const { return (info->domain_attr->mr_mode & FI_MR_LOCAL) != 0 ? fi_mr_desc(mr) : nullptr; }

  // Completions that are there; drives the provider.
  size_t Poll() const {
    std::array<fi_cq_entry, 64> entries;
    const ssize_t n = fi_cq_read(cq, entries.data(), entries.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (n != -FI_EAGAIN) {
      fi_cq_err_entry error{};
      if (fi_cq_readerr(cq, &error, 0) > 0) Die("an operation failed", error.err);
      Die("fi_cq_read", n);
    }
    return 0;
  }
};

[[noreturn]] void RunTarget(const Settings& settings, int channel) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Side side(settings);
  Hello hello;
  size_t name_bytes = hello.name.size();
  Check("fi_getname", fi_getname(&side.ep->fid, hello.name.data(), &name_bytes));
  hello.name_bytes = name_bytes;
  hello.key = fi_mr_key(side.mr);
  if ((side.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR) != 0)
    hello.address = reinterpret_cast<uint64_t>(side.memory.data());
  if (write(channel, &hello, sizeof hello) != sizeof hello) Die("write", errno);
  for (uint64_t turn = 0;; ++turn) {
    (void)side.Poll();
    char end = 0;
    if (turn % 1024 == 0 && recv(channel, &end, 1, MSG_DONTWAIT) >= 0) _exit(0);
  }
}

double RunInitiator(const Settings& settings, int channel) {
  const Side side(settings);
  Hello hello;
  if (recv(channel, &hello, sizeof hello, MSG_WAITALL) != sizeof hello) Die("the target does not answer", EPIPE);
  fi_addr_t peer = FI_ADDR_UNSPEC;
  if (fi_av_insert(side.av, hello.name.data(), 1, &peer, 0, nullptr) != 1) Die("fi_av_insert", FI_EINVAL);
  const bool read = settings.operation == "read";
  std::vector<fi_context> contexts(settings.window);
  void* desc = side.desc();
  uint64_t posted = 0, completed = 0;
  const auto post = [&](uint64_t slot) {
    const uint64_t at = slot * settings.bytes;
    const iovec local{const_cast<char*>(side.memory.data()) + at, settings.bytes};
    const fi_rma_iov remote{hello.address + at, settings.bytes, hello.key};
    const fi_msg_rma message{&local, &desc, 1, peer, &remote, 1, &contexts[slot], 0};
    const ssize_t code = read ? fi_readmsg(side.ep, &message, FI_COMPLETION)
                              : fi_writemsg(side.ep, &message, FI_COMPLETION | FI_DELIVERY_COMPLETE);
    if (code == -FI_EAGAIN) return false;
    Check(read ? "fi_readmsg" : "fi_writemsg", code);
    return true;
  };
  const auto run = [&](double seconds) {
    const uint64_t before = completed;
    const Clock::time_point begin = Clock::now();
    const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    bool more = true;
    while (more || completed < posted) {
      while (more && posted - completed < settings.window && post(posted % settings.window)) ++posted;
      completed += side.Poll();
      more = more && spent() < seconds;
    }
    return static_cast<double>((completed - before) * settings.bytes) / spent();
  };
  (void)run(settings.seconds / 10);  // connects, too
  return run(settings.seconds);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures one-sided operations of libfabric between two processes.", "slipway-libfabric-rma");
  Settings settings;
  app.add_option("--operation", settings.operation, "read or write")->check(CLI::IsMember({"read", "write"}));
  app.add_option("--provider", settings.provider, "libfabric's provider");
  app.add_option("--bytes", settings.bytes, "Of one operation")->check(CLI::Range(1.0, 1e10));
  app.add_option("--depth", settings.window, "Operations in flight")->check(CLI::Range(1, 512));
  app.add_option("--seconds", settings.seconds, "How long")->check(CLI::Range(0.01, 3600.0));
  CLI11_PARSE(app, argc, argv);
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) != 0) Die("socketpair", errno);
  const pid_t target = fork();
  if (target < 0) Die("fork", errno);
  if (target == 0) RunTarget(settings, channel[1]);
  close(channel[1]);
  const double rate = RunInitiator(settings, channel[0]);
  std::printf("{\"operation\": \"%s\", \"request_bytes\": %llu, \"depth\": %llu, \"bytes_per_second\": %.0f}\n",
              settings.operation.c_str(), static_cast<unsigned long long>(settings.bytes),
              static_cast<unsigned long long>(settings.window), rate);
  kill(target, SIGKILL);
  waitpid(target, nullptr, 0);
  return 0;
}
