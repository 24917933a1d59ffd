#include "core/loader/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "slipway/abi/plugin.h"

namespace slipway {
namespace {

#if defined(__x86_64__)
constexpr uint16_t kOwnMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kOwnMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr uint16_t kOwnMachine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr uint16_t kOwnMachine = EM_PPC64;
#elif defined(__s390x__)
constexpr uint16_t kOwnMachine = EM_S390;
#else
constexpr uint16_t kOwnMachine = EM_NONE;  // not compared
#endif
constexpr uint8_t kOwnClass = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr uint8_t kOwnData = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

// A plugin exports one symbol; beyond these the file is no plugin of ours, and the look ends.
constexpr uint64_t kMostSections = 4096;
constexpr uint64_t kMostPrograms = 1024;
constexpr uint64_t kMostSymbols = 1 << 20;
constexpr size_t kSymbolsPerRead = 512;
constexpr size_t kLongestSymbol = 64;

std::string MachineName(uint16_t machine) {
  switch (machine) {
    case EM_386:
      return "i386";
    case EM_X86_64:
      return "x86-64";
    case EM_ARM:
      return "arm";
    case EM_AARCH64:
      return "aarch64";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    default:
      return "machine " + std::to_string(machine);
  }
}

std::string SideName(uint8_t elf_class, uint8_t data, uint16_t machine) {
  return MachineName(machine) + (elf_class == ELFCLASS32 ? " (32 bit" : " (64 bit") +
         (data == ELFDATA2MSB ? ", big endian)" : ", little endian)");
}

// An open file of which pieces are read; whatever lies outside it reads as nothing.
class File {
 public:
  explicit File(const std::string& path) : path_(path) {
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: a FIFO must not hold us up
    struct stat st {};
    if (fd_ < 0 || fstat(fd_, &st) != 0) {
      error_ = errno;
    } else if (!S_ISREG(st.st_mode)) {
      error_ = EISDIR;
    } else {
      size_ = static_cast<uint64_t>(st.st_size);
    }
  }
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  int error() const { return error_; }
  uint64_t size() const { return size_; }

  // False when [offset, offset + size) is not wholly in the file.
  bool Read(uint64_t offset, void* out, size_t size) const {
    if (!Within(offset, size, size_)) return false;
    char* to = static_cast<char*>(out);
    while (size > 0) {
      const ssize_t n = pread(fd_, to, size, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      to += n;
      offset += static_cast<uint64_t>(n);
      size -= static_cast<size_t>(n);
    }
    return true;
  }

 private:
  const std::string path_;
  int fd_ = -1;
  int error_ = 0;
  uint64_t size_ = 0;
};

Status Damaged(const File& file, const std::string& what) {
  return {SLIPWAY_E_PLUGIN_OPEN, file.path() + ": the file is truncated or damaged (" + what + "; it has " +
                                     std::to_string(file.size()) + " bytes): copy or build it again"};
}

Status CheckIdentity(const File& file, Elf64_Ehdr& header) {
  unsigned char ident[EI_NIDENT] = {};
  const size_t got = std::min<size_t>(EI_NIDENT, file.size());
  if (!file.Read(0, ident, got)) return Damaged(file, "it cannot be read");
  if (got < SELFMAG || std::memcmp(ident, ELFMAG, SELFMAG) != 0) {
    return {SLIPWAY_E_PLUGIN_ARCH, file.path() + (file.size() == 0 ? ": the file is empty" : ": not an ELF file") +
                                       ", and so no shared object: put the plugin's libslipway-NAME.so there"};
  }
  if (got < EI_NIDENT) return Damaged(file, "it ends within the ELF header");
  // e_machine lies at the same place for both word sizes, in the file's own byte order.
  unsigned char machine_bytes[2] = {};
  if (!file.Read(offsetof(Elf64_Ehdr, e_machine), machine_bytes, 2)) return Damaged(file, "it ends within the header");
  const bool big = ident[EI_DATA] == ELFDATA2MSB;
  const uint16_t machine = static_cast<uint16_t>(machine_bytes[big ? 1 : 0] | machine_bytes[big ? 0 : 1] << 8);
  if (ident[EI_CLASS] != kOwnClass || ident[EI_DATA] != kOwnData ||
      (kOwnMachine != EM_NONE && machine != kOwnMachine)) {
    return {SLIPWAY_E_PLUGIN_ARCH, file.path() + ": made for " + SideName(ident[EI_CLASS], ident[EI_DATA], machine) +
                                       ", this process is " + SideName(kOwnClass, kOwnData, kOwnMachine) +
                                       ": install the plugin's build for this machine"};
  }
  if (!file.Read(0, &header, sizeof(header))) return Damaged(file, "it ends within the ELF header");
  if (header.e_type != ET_DYN) {
    return {SLIPWAY_E_PLUGIN_ARCH, file.path() + ": an ELF file, but no shared object: link the plugin with -shared"};
  }
  return Status::Ok();
}

// Every part that the system's loader maps is in the file: mapping beyond its end kills the process at first touch.
Status CheckPrograms(const File& file, const Elf64_Ehdr& header) {
  if (header.e_phnum == 0 || header.e_phnum > kMostPrograms || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Damaged(file, "its program headers make no sense");
  }
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr program{};
    const uint64_t skip = i * sizeof(Elf64_Phdr);
    if (header.e_phoff > file.size() || !file.Read(header.e_phoff + skip, &program, sizeof(program))) {
      return Damaged(file, "its program headers lie beyond the end");
    }
    if (program.p_type != PT_LOAD) continue;
    if (!Within(program.p_offset, program.p_filesz, file.size()) || program.p_filesz > program.p_memsz) {
      return Damaged(file, "a part to be loaded lies beyond the end");
    }
  }
  return Status::Ok();
}

struct SymbolTable {
  Elf64_Shdr symbols{}, strings{};
};

// The dynamic symbol table; nothing where the section headers were stripped.
Status FindSymbols(const File& file, const Elf64_Ehdr& header, std::optional<SymbolTable>& out) {
  if (header.e_shoff == 0 || header.e_shnum == 0) return Status::Ok();
  if (header.e_shnum > kMostSections || header.e_shentsize != sizeof(Elf64_Shdr) ||
      !Within(header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr), file.size())) {
    return Damaged(file, "its section headers lie beyond the end");
  }
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    SymbolTable table;
    if (!file.Read(header.e_shoff + i * sizeof(Elf64_Shdr), &table.symbols, sizeof(Elf64_Shdr))) {
      return Damaged(file, "its section headers lie beyond the end");
    }
    if (table.symbols.sh_type != SHT_DYNSYM) continue;
    if (table.symbols.sh_link >= header.e_shnum ||
        !file.Read(header.e_shoff + table.symbols.sh_link * sizeof(Elf64_Shdr), &table.strings, sizeof(Elf64_Shdr)) ||
        !Within(table.symbols.sh_offset, table.symbols.sh_size, file.size()) ||
        !Within(table.strings.sh_offset, table.strings.sh_size, file.size()) ||
        table.symbols.sh_entsize != sizeof(Elf64_Sym) || table.symbols.sh_size / sizeof(Elf64_Sym) > kMostSymbols) {
      return Damaged(file, "its symbol table makes no sense");
    }
    out = table;
    return Status::Ok();
  }
  return Status::Ok();
}

// The majors of the entry symbols that the file itself defines.
Status ReadMajors(const File& file, const SymbolTable& table, std::vector<unsigned>& majors) {
  constexpr std::string_view kPrefix = SLIPWAY_PLUGIN_SYMBOL_PREFIX;
  std::vector<Elf64_Sym> batch(kSymbolsPerRead);
  const uint64_t count = table.symbols.sh_size / sizeof(Elf64_Sym);
  for (uint64_t i = 0; i < count; i += kSymbolsPerRead) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(kSymbolsPerRead, count - i));
    if (!file.Read(table.symbols.sh_offset + i * sizeof(Elf64_Sym), batch.data(), n * sizeof(Elf64_Sym))) {
      return Damaged(file, "its symbol table cannot be read");
    }
    for (size_t k = 0; k < n; ++k) {
      const Elf64_Sym& symbol = batch[k];
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= table.strings.sh_size) continue;
      char name[kLongestSymbol] = {};
      const uint64_t room = std::min<uint64_t>(sizeof(name) - 1, table.strings.sh_size - symbol.st_name);
      if (!file.Read(table.strings.sh_offset + symbol.st_name, name, static_cast<size_t>(room))) continue;
      const std::string_view text(name);
      if (!text.starts_with(kPrefix)) continue;
      unsigned major = 0;
      const char* const end = name + text.size();
      const auto parsed = std::from_chars(name + kPrefix.size(), end, major);
      if (parsed.ec == std::errc() && parsed.ptr == end) majors.push_back(major);
    }
  }
  return Status::Ok();
}

Status JudgeMajors(const File& file, const std::vector<unsigned>& majors) {
  const std::string own = std::to_string(SLIPWAY_ABI_MAJOR);
  if (std::find(majors.begin(), majors.end(), unsigned{SLIPWAY_ABI_MAJOR}) != majors.end()) return Status::Ok();
  if (majors.empty()) {
    return {SLIPWAY_E_PLUGIN_NO_ENTRY, file.path() + ": a shared object, but does not define " SLIPWAY_PLUGIN_SYMBOL
                                                     ": it is no Slipway plugin, or was built with the symbol hidden"};
  }
  const unsigned newest = *std::max_element(majors.begin(), majors.end());
  const bool newer = newest > SLIPWAY_ABI_MAJOR;
  return {newer ? SLIPWAY_E_PLUGIN_ABI_NEWER : SLIPWAY_E_PLUGIN_ABI_OLDER,
          file.path() + ": the plugin was built for ABI major " + std::to_string(newest) + ", this core has major " +
              own +
              (newer ? ": install a newer Slipway, or the plugin's build for major " + own
                     : ": install a newer build of the plugin")};
}

}  // namespace

Status CheckPluginFile(const std::string& path) {
  const File file(path);
  if (file.error() != 0) {
    return {SLIPWAY_E_PLUGIN_OPEN, path + ": cannot be read: " + std::strerror(file.error())};
  }
  Elf64_Ehdr header{};
  SLIPWAY_RETURN_IF_ERROR(CheckIdentity(file, header));
  SLIPWAY_RETURN_IF_ERROR(CheckPrograms(file, header));
  std::optional<SymbolTable> table;
  SLIPWAY_RETURN_IF_ERROR(FindSymbols(file, header, table));
  if (!table.has_value()) return Status::Ok();
  std::vector<unsigned> majors;
  SLIPWAY_RETURN_IF_ERROR(ReadMajors(file, *table, majors));
  return JudgeMajors(file, majors);
}

}  // namespace slipway
